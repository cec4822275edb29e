"""Freeze one artefact of every kind as this release seals it: `python -m tests.vectors.freeze`.

A frozen file is never written again. What a release has sealed opens for ever, so every later release is held to it.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.tokens.examples import CLIENT_KEYS, EXAMPLES, ISSUER, KEYS, NOW, PREFIX, reference, sealer
from tokensvc import __version__
from tokensvc.tokens.artefact import Artefact
from tokensvc.tokens.kinds import ClientId

HERE = Path(__file__).parent


def freeze() -> dict[str, Any]:
    return {
        "warning": "These rings are published. Never serve with them.",
        "release": __version__,
        "issuer": ISSUER,
        "prefix": PREFIX,
        "keys": KEYS,
        "client_keys": CLIENT_KEYS,
        "now": NOW,
        "vectors": [_vector(name, artefact) for name, artefact in EXAMPLES.items()],
    }


def _vector(name: str, artefact: Artefact) -> dict[str, Any]:
    sealed = sealer()
    value = sealed.seal(artefact, NOW)
    kid, _, day = sealed.version_of(value).partition(".")
    vector = {
        "name": name,
        "kind": artefact.kind,
        "value": value,
        "key": reference().key("seal", artefact.kind, kid, day).hex(),
        "claims": artefact.to_claims().decode(),
        "fields": asdict(artefact),
    }
    confidential = isinstance(artefact, ClientId) and artefact.confidential
    return vector | ({"client_secret": sealed.client_secret(value)} if confidential else {})


def write(path: Path) -> None:
    """Raises FileExistsError."""
    with path.open("x", encoding="utf-8") as file:
        json.dump(freeze(), file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    try:
        write(HERE / f"{__version__}.json")
    except FileExistsError:
        sys.exit(
            f"{__version__}.json is frozen already: a new form needs a new release, and for most changes a new kind"
        )
