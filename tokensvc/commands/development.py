"""`serve --development`: what a newcomer needs to try the service out, made on the first run and kept."""

import json
import os
import secrets
from collections.abc import MutableMapping
from pathlib import Path
from urllib.parse import urlsplit

from tokensvc.commands import CommandFailed, keys
from tokensvc.errors import SettingsError
from tokensvc.identity import Identity
from tokensvc.identity.api_keys import new_api_key
from tokensvc.settings import LOOPBACK, variable_name

_DEMO = Identity("demo", "ada", "admin")
_NAMES = ("keys", "client_keys", "api_key", "api_key_entry", "introspection_token", "admin_token")


def prepare(directory: Path, port: int, environ: MutableMapping[str, str]) -> str:
    """Set the variables that are not set, and say how to go on. Raises SettingsError away from loopback."""
    issuer = environ.setdefault("TOKENSVC_ISSUER", f"http://127.0.0.1:{port}")
    if not _on_loopback(issuer):
        remedy = "Serve without --development, with rings of your own"
        raise SettingsError("TOKENSVC_ISSUER", "is not on loopback, where development secrets belong", remedy)
    made = _material(directory / "development")
    values = {
        "keys": made["keys"],
        "client_keys": made["client_keys"],
        "api_keys": made["api_key_entry"],
        "introspection_tokens": made["introspection_token"],
        "admin_tokens": made["admin_token"],
    }
    if environ.get("TOKENSVC_ACCESS_TOKEN_FORMAT") == "jwt":
        # What signs is derived otherwise than what seals, so that the one entry serves in both rings.
        values["signing_keys"] = made["keys"]
    own = {field for field in values if {variable_name(field), f"{variable_name(field)}_FILE"} & environ.keys()}
    environ.update({variable_name(field): value for field, value in values.items() if field not in own})
    announced = {"api_key": "api_keys", "introspection_token": "introspection_tokens", "admin_token": "admin_tokens"}
    shown = {
        name: f"one of your {variable_name(field)}" if field in own else made[name] for name, field in announced.items()
    }
    following = (
        "paste the walk-through of README.md into another terminal, or look at what clients see first: "
        f"curl {issuer}/.well-known/oauth-authorization-server"
    )
    return "\n".join(f"{name}: {value}" for name, value in ({"issuer": issuer} | shown | {"next": following}).items())


def _on_loopback(issuer: str) -> bool:
    try:
        return urlsplit(issuer).hostname in LOOPBACK
    except ValueError:
        return False


def _material(directory: Path) -> dict[str, str]:
    """The generated values, in one file that nobody else can read."""
    path = directory / "secrets.json"
    if path.exists():
        return _read(path)
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
    # Whole or not at all: a run that is interrupted here must not stand in the way of the next.
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps(made, indent=2), encoding="utf-8")
    unfinished.replace(path)
    return made


def _read(path: Path) -> dict[str, str]:
    try:
        made: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return {name: made[name] for name in _NAMES}
    except (OSError, ValueError, KeyError, TypeError):
        raise CommandFailed(f"{path} cannot be read: remove it, and the next run makes another") from None
