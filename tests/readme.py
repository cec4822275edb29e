"""The parts of the README and of docs/ that are generated: `python -m tests.readme` writes them anew."""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
from pathlib import Path

from tests import promises, verified

README = Path(__file__).parent.parent / "README.md"
CLIENTS = README.parent / "docs" / "verified-clients.md"


def generated(name: str, page: Path = README) -> str:
    """The part between its two comments."""
    match = re.search(_pattern(name), page.read_text(encoding="utf-8"), re.DOTALL)
    assert match, f"{page.name} has no part {name}"
    return match[2]


def write(name: str, text: str, page: Path = README) -> None:
    content = page.read_text(encoding="utf-8")
    written = re.sub(_pattern(name), lambda match: f"{match[1]}{text}{match[3]}", content, flags=re.DOTALL)
    page.write_text(written, encoding="utf-8")


def demo() -> str:
    """What the demo prints, as a code block."""
    ran = subprocess.run([sys.executable, "-m", "tokensvc", "demo"], stdout=subprocess.PIPE, text=True, check=True)
    return f"```\n{ran.stdout}```"


def _pattern(name: str) -> str:
    return rf"(<!-- {name}: by `make readme` -->\n\n)(.*?)(\n\n<!-- end of {name} -->)"


if __name__ == "__main__":
    write("promises", promises.render())
    write("demo", demo())
    write("verified", verified.render(verified.run(), datetime.datetime.now(datetime.UTC).date()), CLIENTS)
