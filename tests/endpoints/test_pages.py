"""The sign-in page and the error pages: their form, their policy, and what hostile input can do to them."""

import base64
import hashlib
import re
import unicodedata
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.responses import HTMLResponse

from tokensvc.endpoints.pages import STYLE, SignInView, error_page, plain_host, plain_text, sign_in_page

VIEW = SignInView(
    client_name="Claude",
    client_verified=False,
    redirect_target="claude.ai",
    redirect_kind="https",
    resource="https://mcp.example.com/mcp",
    scopes=("mcp",),
    request="sealed-state",
    issuer="https://auth.example.com/tokens",
)
PAGES = {
    "sign-in": sign_in_page(VIEW),
    "wrong key": sign_in_page(VIEW, status=401, problem="That key was not accepted."),
    "error": error_page(400, "This sign-in has expired", "It was open for too long.", hint="Connect again."),
}
HOSTILE = '</bdi><script>alert(1)</script>" autofocus onfocus="alert(2)&amp;{{ 7*7 }}'


class Page(HTMLParser):
    """What a browser sees: tags with attributes in their order, and the text inside each kind of tag."""

    def __init__(self, response: HTMLResponse) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self.all_text = ""
        self.open = ""
        self.feed(bytes(response.body).decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"<{tag}> repeats an attribute"
        self.tags.append((tag, dict(attrs)))
        self.open = tag
        self.text.setdefault(tag, []).append("")

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text[self.open][-1] += data
        if self.open != "style":
            self.all_text += data

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002  # the parser's
        self.open = ""

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    def one(self, tag: str, **wanted: str) -> dict[str, str | None]:
        [found] = [attrs for attrs in self.all(tag) if wanted.items() <= attrs.items()]
        return found

    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(tag, tuple(attrs)) for tag, attrs in self.tags]

    def words(self) -> str:
        return " ".join(self.all_text.split())


@pytest.fixture(params=list(PAGES))
def response(request: pytest.FixtureRequest) -> HTMLResponse:
    """Give each kind of page in turn."""
    return PAGES[request.param]


def test_page_may_load_and_run_nothing_and_be_framed_by_nobody(response: HTMLResponse) -> None:
    """The policy allows one inline style by its hash, and lets the form follow its redirects."""
    directives = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    style_hash = directives.pop("style-src")
    assert directives == {"default-src": "'none'", "frame-ancestors": "'none'", "base-uri": "'none'"}
    [style] = Page(response).text["style"]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert style_hash == f"'sha256-{digest}'"


def test_page_is_neither_kept_nor_sniffed_nor_told_of(response: HTMLResponse) -> None:
    """Caches, type guessing, old frames and Referer are all closed."""
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["content-type"] == "text/html; charset=utf-8"


def test_page_needs_no_script_and_no_other_resource(response: HTMLResponse) -> None:
    """Nothing in the page runs, loads or is styled in place: the policy would block it."""
    page = Page(response)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "svg", "base"}
    for _, attrs in page.tags:
        assert not {"style", "src", "href", "action", "formaction"} & attrs.keys()
        assert not [name for name in attrs if name.startswith("on")]
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert "</" not in STYLE


def test_page_has_language_landmark_title_and_fits_a_phone(response: HTMLResponse) -> None:
    """A screen reader and a small screen get what they need to start with."""
    page = Page(response)
    assert page.one("html") == {"lang": "en"}
    assert page.one("meta", name="viewport")["content"] == "width=device-width, initial-scale=1"
    assert len(page.all("main")) == len(page.all("h1")) == len(page.all("header")) == 1
    assert page.text["title"][0].strip()


def test_sign_in_is_one_form_that_posts_to_its_own_address() -> None:
    """The form is a POST without an action, with exactly the fields of the interface."""
    page = Page(PAGES["sign-in"])
    form = page.one("form")
    assert form["method"] == "post"
    fields = [attrs["name"] for tag, attrs in page.tags if tag in {"input", "button"}]
    assert fields == ["request", "api_key", "decision", "decision"]
    assert page.one("input", name="request") == {"type": "hidden", "name": "request", "value": "sealed-state"}


def test_enter_means_allow_and_deny_needs_no_key() -> None:
    """Allow is the first submit button; Deny skips the required field."""
    allow, deny = Page(PAGES["sign-in"]).all("button")
    assert (allow["type"], allow["name"], allow["value"]) == ("submit", "decision", "allow")
    assert (deny["type"], deny["name"], deny["value"]) == ("submit", "decision", "deny")
    assert "formnovalidate" in deny
    assert "formnovalidate" not in allow


def test_key_field_is_labelled_described_and_left_as_typed() -> None:
    """The key is a required password that nothing corrects, under its own label."""
    page = Page(PAGES["sign-in"])
    field = page.one("input", name="api_key")
    assert field["type"] == "password"
    assert "required" in field
    assert field["autocomplete"] == "current-password"
    assert (field["autocapitalize"], field["autocorrect"], field["spellcheck"]) == ("none", "off", "false")
    assert page.one("label")["for"] == field["id"]
    assert page.one("p", id="promise")
    assert field["aria-describedby"] == "promise"
    assert "aria-invalid" not in field
    assert "autofocus" not in field


def test_wrong_key_is_an_alert_tied_to_the_field() -> None:
    """A problem is announced, described by the field, focused, and told in the title."""
    page = Page(PAGES["wrong key"])
    field = page.one("input", name="api_key")
    assert PAGES["wrong key"].status_code == 401
    assert page.one("p", role="alert")["id"] == "problem"
    assert field["aria-describedby"] == "problem promise"
    assert field["aria-invalid"] == "true"
    assert "autofocus" in field
    assert "value" not in field
    assert "That key was not accepted." in page.words()
    assert page.text["title"] == ["Error: Allow access? · auth.example.com"]


def test_page_says_who_asks_where_it_goes_for_what_and_what_allow_does() -> None:
    """Client, redirect host, resource, scope, consequence and operator are all in plain words."""
    words = Page(PAGES["sign-in"]).words()
    assert "Allow Claude to act as you?" in words
    assert "Sends you back to claude.ai" in words
    assert "Gets access to https://mcp.example.com/mcp" in words
    assert "mcp Use the tools of this server on your behalf" in words
    assert "can act as you at https://mcp.example.com/mcp until you or the operator ends it." in words
    assert "The key itself is not given to the app." in words
    assert "This page is operated by auth.example.com." in words


def test_only_an_operators_client_is_called_known() -> None:
    """Every other name is said to be the app's own claim."""
    claimed, known = Page(sign_in_page(VIEW)), Page(sign_in_page(replace(VIEW, client_verified=True)))
    assert "Name not verified This is only what the app calls itself." in claimed.words()
    assert "Known app" not in claimed.words()
    assert "Known app Registered by the operator of this service." in known.words()
    assert "not verified" not in known.words()


@pytest.mark.parametrize("name", ["", " ", "\u200b\u202e\n", "\u3164\u2800", "\u0301\ufe0f"])
def test_a_name_that_shows_nothing_is_no_name(name: str) -> None:
    """Empty, invisible and blank-looking names are replaced by words."""
    words = Page(sign_in_page(replace(VIEW, client_name=name))).words()
    assert "Allow an app without a name to act as you?" in words
    assert "Not verified This app did not say what it is called." in words


def test_loopback_and_private_schemes_carry_a_warning() -> None:
    """Where no host vouches for the receiver, the page says who may receive the access."""
    loopback = replace(VIEW, redirect_kind="loopback", redirect_target="localhost:3000")
    private = replace(VIEW, redirect_kind="private", redirect_target="cursor:")
    assert "Any program on this computer may receive the access." in Page(sign_in_page(loopback)).words()
    assert "an app on this device that claims cursor: links" in Page(sign_in_page(private)).words()
    assert "This is not a website." not in Page(sign_in_page(VIEW)).words()


def test_scopes_other_than_the_default_show_their_name() -> None:
    """Each scope is listed; one without an explanation stands alone, and none at all is said."""
    words = Page(sign_in_page(replace(VIEW, scopes=("mcp", "files:read")))).words()
    assert "on your behalf files:read If you allow it" in words
    assert "Permissions None by name" in Page(sign_in_page(replace(VIEW, scopes=()))).words()


@given(st.text(max_size=48))
@example(HOSTILE)
@example("\ud800")
def test_client_name_is_only_ever_text(name: str) -> None:
    """Whatever a client calls itself, the page's structure and form stay the same."""
    page = Page(sign_in_page(replace(VIEW, client_name=f"x{name}")))
    assert page.shape() == Page(PAGES["sign-in"]).shape()
    # The first isolate is the issuer's host, above the heading.
    assert page.text["bdi"][1] == plain_text(f"x{name}")


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
@example(HOSTILE, HOSTILE, HOSTILE)
def test_target_scope_and_problem_are_only_ever_text(target: str, scope: str, problem: str) -> None:
    """Other text from outside cannot add to the page either."""
    view = replace(VIEW, redirect_target=f"x{target}", scopes=(f"x{scope}",))
    page = Page(sign_in_page(view, problem=f"x{problem}"))
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in Page(PAGES["wrong key"]).tags}
    assert len(page.all("input")) == len(page.all("button")) == 2


@given(st.text())
@example("e\u200b\u0301")
@example("a\u0316\u0300\u0301 \u0301")
def test_plain_text_is_one_line_without_anything_invisible(text: str) -> None:
    """What is invisible goes, whitespace collapses, accents stay few, and nothing is left to do."""
    plain = plain_text(text)
    assert not [char for char in plain if unicodedata.category(char)[0] == "C"]
    assert plain == " ".join(plain.split())
    assert plain_text(plain) == plain
    run = 0
    for char in plain:
        run = run + 1 if unicodedata.category(char) in {"Mn", "Me"} else 0
        assert run <= 2


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\u202egoogle\u202c", "google"),
        ("Cla\u200bude", "Claude"),
        (" two\r\n\tlines\u2028here ", "two lines here"),
        ("Cafe\u0301 №1 日本 שלום 🙂", "Café №1 日本 שלום 🙂"),
        ("Z" + "\u0300\u0316" * 12, "Z\u0316\u0316"),
    ],
)
def test_plain_text_keeps_what_can_be_read(text: str, plain: str) -> None:
    """Readable names in any script survive; reordering, hiding and piling up do not."""
    assert plain_text(text) == plain


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("claude.ai", "claude.ai"),
        ("localhost:3000", "localhost:3000"),
        ("[::1]:3000", "[::1]:3000"),
        ("cursor:", "cursor:"),
        ("\u0441laude.ai", "xn--laude-0ye.ai"),
        ("claude.ai\u3002evil.example", "claude.ai.evil.example"),
        ("\u0441" * 64 + ".example", "\\u0441" * 64 + ".example"),
    ],
)
def test_host_is_shown_whole_and_in_ascii(host: str, shown: str) -> None:
    """A letter that looks like another one shows as what it is."""
    assert plain_host(host) == shown


def test_long_host_is_never_cut() -> None:
    """The end of a host is who it belongs to, so all of it is there, and in one piece of text."""
    host = "accounts.google.com." + "login." * 30 + "attacker.example"
    assert host in Page(sign_in_page(replace(VIEW, redirect_target=host))).text["bdi"]


def test_error_page_says_what_happened_and_what_next() -> None:
    """Title, message and hint stand in that order, with the status at the end."""
    response = PAGES["error"]
    words = Page(response).words()
    assert response.status_code == 400
    assert "has expired It was open for too long. What to do next Connect again. Error 400" in words
    assert "What to do next" not in Page(error_page(403, "Title", "Message")).words()


def test_error_page_echoes_little_and_only_as_text() -> None:
    """Input in a message is escaped and cut."""
    page = Page(error_page(400, HOSTILE, HOSTILE + "x" * 10_000, hint=HOSTILE))
    assert page.shape() == Page(PAGES["error"]).shape()
    assert "x…" in page.words()
    assert "x" * 500 not in page.words()


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("front", "back", "least"),
    [
        ("ink", "card", 4.5),
        ("ink", "tint", 4.5),
        ("soft", "card", 4.5),
        ("soft", "ground", 4.5),
        ("on-button", "button", 4.5),
        ("on-button", "button-hover", 4.5),
        ("warn", "warn-ground", 4.5),
        ("error", "error-ground", 4.5),
        ("edge", "card", 3.0),
        ("focus", "card", 3.0),
        ("error-edge", "card", 3.0),
    ],
)
def test_colours_reach_contrast_aa(theme: int, front: str, back: str, least: float) -> None:
    """Text keeps 4.5 to 1 and edges 3 to 1, in the light and in the dark."""
    block = re.findall(r":root \{([^}]*)\}", STYLE)[theme]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
    dark, light = sorted(luminance(colours[name]) for name in (front, back))
    assert (light + 0.05) / (dark + 0.05) >= least
