"""The pages a person sees, sign-in with consent and errors, without scripts or other resources."""

import base64
import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

HERE: Final = Path(__file__).parent

# Inlined, so that no static route is needed and the page looks the same under any path prefix.
STYLE: Final = (HERE / "static" / "style.css").read_text(encoding="utf-8")
STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

# No form-action: Chromium holds every redirect after the form to it, so Allow would not reach the client.
# No Cross-Origin-Opener-Policy either: web clients open this page in a popup and wait for it to come back.
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

SCOPE_MEANINGS: Final[Mapping[str, str]] = {"mcp": "Use the tools of this server on your behalf"}

# Letters, marks and symbols by category, yet they print nothing: a name of these alone would be a gap.
BLANKS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U0001d159")
MAX_MARKS: Final = 2  # accents on one letter; a pile of them would paint over the lines around the name

templates: Final = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
# Trusted, and it must stay unescaped: the hash in the policy is that of the exact text.
templates.globals["style"] = Markup(STYLE)  # noqa: S704  # a file of this package
SIGN_IN: Final = templates.get_template("sign_in.html")
ERROR: Final = templates.get_template("error.html")


@dataclass(frozen=True, slots=True)
class SignInView:
    """What the sign-in page shows; `client_name` and `redirect_target` come from strangers.

    `client_host` stands for the app where its client_id is the URL of a document, else it is empty.
    """

    client_name: str
    client_verified: bool
    redirect_target: str
    redirect_kind: Literal["https", "loopback", "private"]
    resource: str
    scopes: tuple[str, ...]
    request: str
    issuer: str
    client_host: str = ""


def sign_in_page(view: SignInView, *, status: int = 200, problem: str = "") -> HTMLResponse:
    """Ask for the API key and the decision, saying who asks, for what, and where the answer goes."""
    html = SIGN_IN.render(
        name=shortened(view.client_name, 100),
        verified=view.client_verified,
        client_host=plain_host(view.client_host),
        target=plain_host(view.redirect_target),
        kind=view.redirect_kind,
        resource=plain_text(view.resource),
        scopes=[(plain_text(scope), SCOPE_MEANINGS.get(scope, "")) for scope in view.scopes],
        hidden={"request": view.request},
        host=plain_host(urlsplit(view.issuer).netloc),
        problem=shortened(problem, 300),
    )
    return HTMLResponse(html, status, HEADERS)


def error_page(status: int, title: str, message: str, *, hint: str = "") -> HTMLResponse:
    """Say what happened and, with `hint`, what to do next."""
    html = ERROR.render(
        status=status,
        title=shortened(title, 100),
        message=shortened(message, 500),
        hint=shortened(hint, 500),
    )
    return HTMLResponse(html, status, HEADERS)


def plain_text(text: str) -> str:
    """Reduce hostile text to one line that shows what it is: nothing invisible, reordering, or piled up."""
    # Normalised after the invisible is gone, or it would keep a letter and its accent apart.
    composed = unicodedata.normalize("NFC", "".join(map(visible, text)))
    kept: list[str] = []
    marks = MAX_MARKS  # a mark without a letter of its own would land on one of the page's
    for char in composed:
        marks = marks + 1 if unicodedata.category(char) in {"Mn", "Me"} else MAX_MARKS * char.isspace()
        if marks <= MAX_MARKS:
            kept.append(char)
    return " ".join("".join(kept).split())


def visible(char: str) -> str:
    """Give the character, a space for what breaks a line or prints blank, or nothing for what hides."""
    category = unicodedata.category(char)
    if category in {"Cc", "Zl", "Zp", "Zs"} or char in BLANKS:
        return " "
    return "" if category.startswith("C") else char


def plain_host(host: str) -> str:
    """Show a host or scheme in ASCII, so that no letter can pass for another; never shortened."""
    try:
        ascii_only = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        ascii_only = host.encode("ascii", "backslashreplace").decode()
    return plain_text(ascii_only)


def shortened(text: str, limit: int) -> str:
    """Keep a sentence on the page within bounds, whatever was put into it."""
    text = plain_text(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
