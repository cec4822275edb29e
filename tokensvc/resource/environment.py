"""The verifier from variables, for whoever configures by them. None where none is set: then nothing changes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokensvc.resource.verifier import IntrospectionVerifier

ISSUER = "OAUTH_ISSUER"
SECRET = "OAUTH_INTROSPECTION_TOKEN"
_ARGUMENTS = {"OAUTH_RESOURCE": "resource", "OAUTH_URL": "url", "OAUTH_TOKEN_PREFIX": "prefix"}


def from_environment(environment: Mapping[str, str] | None = None, **options: Any) -> IntrospectionVerifier | None:
    """OAUTH_ISSUER, OAUTH_INTROSPECTION_TOKEN or _FILE, OAUTH_RESOURCE, OAUTH_URL, OAUTH_TOKEN_PREFIX.

    `options` are further arguments of IntrospectionVerifier. ValueError where half of it is set: a server that is
    meant to be protected does not start without.
    """
    given = os.environ if environment is None else environment
    secret = _secret(given)
    if not secret and not any(given.get(name) for name in (ISSUER, *_ARGUMENTS)):
        return None
    if not secret or not (given.get(ISSUER) or given.get("OAUTH_URL")):
        raise ValueError(f"{ISSUER} and {SECRET} belong together: set both, or none")
    arguments: dict[str, Any] = {argument: given[name] for name, argument in _ARGUMENTS.items() if given.get(name)}
    return IntrospectionVerifier(given.get(ISSUER, ""), secret, **arguments, **options)


def _secret(given: Mapping[str, str]) -> str:
    if file := given.get(f"{SECRET}_FILE"):
        return Path(file).read_text(encoding="utf-8").strip()
    return given.get(SECRET, "")
