"""The protocol's nouns: clients, redirect URIs, scopes, resources, PKCE, and how their values are checked."""
