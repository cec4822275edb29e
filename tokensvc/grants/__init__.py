"""Grant types (RFC 6749 §1.3), a file each. A grant turns a token request into tokens, or raises."""
