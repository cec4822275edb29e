"""`serve --development`: what a newcomer needs to try the service out, made on the first run and kept."""

import json
import secrets
from collections.abc import MutableMapping
from pathlib import Path

from tokensvc.commands import keys
from tokensvc.errors import SettingsError
from tokensvc.identity import Identity
from tokensvc.identity.api_keys import new_api_key
from tokensvc.settings import variable_name

_DEMO = Identity("demo", "ada", "admin")


def prepare(directory: Path, port: int, environ: MutableMapping[str, str]) -> str:
    """Set the variables that are not set, and say how to go on. Raises SettingsError away from loopback."""
    issuer = environ.setdefault("TOKENSVC_ISSUER", f"http://127.0.0.1:{port}")
    if not issuer.startswith(("http://127.0.0.1", "http://localhost", "http://[::1]")):
        raise SettingsError(
            "TOKENSVC_ISSUER", "is not on loopback", "Serve without --development, with rings of your own"
        )
    made = _material(directory / "development")
    values = {
        "keys": made["keys"],
        "client_keys": made["client_keys"],
        "api_keys": made["api_key_entry"],
        "introspection_tokens": made["introspection_token"],
        "admin_tokens": made["admin_token"],
    }
    for field, value in values.items():
        if f"{variable_name(field)}_FILE" not in environ:
            environ.setdefault(variable_name(field), value)
    return "\n".join(
        (
            f"issuer: {issuer}",
            f"api_key: {made['api_key']}",
            f"introspection_token: {made['introspection_token']}",
            f"admin_token: {made['admin_token']}",
            f"next: paste the walk-through of README.md into another terminal, or look at what clients see first: "
            f"curl {issuer}/.well-known/oauth-authorization-server",
        )
    )


def _material(directory: Path) -> dict[str, str]:
    """The generated values, one file each, for nobody else to read."""
    path = directory / "secrets.json"
    if path.exists():
        made: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return made
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    api_key, entry = new_api_key(_DEMO, "demo_key")
    made = {
        "keys": keys.new_entry("dev"),
        "client_keys": keys.new_entry("dev"),
        "api_key": api_key,
        "api_key_entry": entry,
        "introspection_token": secrets.token_urlsafe(32),
        "admin_token": secrets.token_urlsafe(32),
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(made, indent=2), encoding="utf-8")
    return made
