"""A stateless cryptographic token service: OAuth 2.1 for MCP servers and APIs, with no token database."""

__version__ = "0.1.0"
