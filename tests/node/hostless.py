"""Take out of package-lock.json what names a host: packages go by name and hash, wherever they are got from.

npm leaves the registry's addresses out by itself (.npmrc beside this file), but not who would like to be sponsored.
`make lock` runs this after npm, with a Python that has nothing installed.
"""

from __future__ import annotations

import json
from pathlib import Path

LOCK = Path(__file__).with_name("package-lock.json")
ADDRESSES = {"funding", "resolved"}


def without_hosts(lock: str) -> str:
    """The text of a lock without addresses, in the layout that npm writes."""
    content = json.loads(lock)
    for package in content["packages"].values():
        for member in ADDRESSES & package.keys():
            del package[member]
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    LOCK.write_text(without_hosts(LOCK.read_text(encoding="utf-8")), encoding="utf-8")
