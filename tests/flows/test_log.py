"""One line for every security decision, with all that an operator needs, and nothing that a reader could use.

Every Replica also looks for secrets in its own log when it stops, in all tests: see Replica.leaks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.flows.conftest import SQLITE, Start
from tests.replica import ADMIN_TOKEN, API_KEY, KNOWN_SECRETS, Client, Replica, api_key_entry, leaks, tokens
from tokensvc.tokens.kinds import client_handle

ALWAYS = {"event", "level", "timestamp", "request_id"}


@dataclass
class Story:
    """A replica, a client with everything in hand, and what the client's last steps were."""

    replica: Replica
    client: Client
    other: Client
    family: str
    code: str
    access: str
    refresh: str


@pytest.fixture(scope="module")
def replica(start: Start) -> Replica:
    return start("memory://")


@pytest.fixture
def story(replica: Replica) -> Story:
    client, other = Client(replica.url), Client(replica.url)
    client.register()
    other.register(client_name="Another client")
    code = client.code()
    issued = tokens(client.redeem(code))
    family = client.introspect(issued.access)["family"]
    return Story(replica, client, other, family, code, issued.access, issued.refresh)


def decide(story: Story, decision: str, api_key: str = API_KEY) -> httpx.Response:
    url, page = story.client.page()
    return story.client.decide(url, page, decision, api_key=api_key)


Step = Callable[[Story], object]
CLIENT, OTHER, FAMILY = "CLIENT", "OTHER", "FAMILY"
DECISIONS: dict[str, tuple[Step, str, str, dict[str, Any]]] = {
    # what happens: how, the event and level that it is logged with, and the facts beside it
    "registered": (lambda s: s.client.register(), "client registered", "info", {"client": CLIENT, "method": "none"}),
    "registration refused": (
        lambda s: s.client.http.post(f"{s.client.url}/register", json={"redirect_uris": ["http://a.example/"]}),
        "registration refused",
        "warning",
        {
            "reason": "a redirect URI with plain http leads to localhost, 127.0.0.1 or [::1] only",
            "address": "127.0.0.1",
        },
    ),
    "granted": (lambda s: decide(s, "allow"), "authorization granted", "info", {"client": CLIENT}),
    "denied": (lambda s: decide(s, "deny"), "authorization denied", "info", {"client": CLIENT}),
    "wrong API key": (
        lambda s: decide(s, "allow", api_key="wrong-key"),
        "sign-in refused",
        "warning",
        {"client": CLIENT, "reason": "wrong API key", "address": "127.0.0.1"},
    ),
    "request refused": (
        lambda s: s.client.page(code_challenge_method="plain"),
        "authorization refused",
        "warning",
        {"client": CLIENT, "error": "invalid_request", "reason": "code_challenge_method must be S256"},
    ),
    "unknown client at authorization": (
        lambda s: s.client.page(client_id="stranger"),
        "authorization refused",
        "warning",
        {"reason": "client: not a compact JWE"},
    ),
    "issued": (
        lambda s: s.client.refresh(s.refresh),
        "token issued",
        "info",
        {"client": CLIENT, "family": FAMILY, "grant_type": "refresh_token", "generation": 2},
    ),
    "repeated in grace": (
        lambda s: (s.client.refresh(s.refresh), s.client.refresh(s.refresh)),
        "token repeated",
        "info",
        {"client": CLIENT, "family": FAMILY, "grant_type": "refresh_token", "generation": 2},
    ),
    "code replayed": (
        lambda s: s.client.redeem(s.code),
        "token replayed",
        "warning",
        {"client": CLIENT, "family": FAMILY, "grant_type": "authorization_code", "error": "invalid_grant"},
    ),
    "another client's code": (
        lambda s: s.client.redeem(s.code, client_id=s.other.client_id),
        "token refused",
        "warning",
        {"client": OTHER, "family": FAMILY, "error": "invalid_grant"},
    ),
    "wrong verifier": (
        lambda s: s.client.redeem(s.code, code_verifier="w" * 43),
        "token refused",
        "warning",
        {"client": CLIENT, "family": FAMILY, "reason": "code_verifier does not match"},
    ),
    "unknown client at the token endpoint": (
        lambda s: s.client.refresh(s.refresh, client_id="stranger"),
        "token refused",
        "warning",
        {"error": "invalid_client", "reason": "not a compact JWE"},
    ),
    "refresh token revoked": (
        lambda s: s.client.revoke(s.refresh),
        "token revoked",
        "info",
        {"client": CLIENT, "family": FAMILY, "subject": "family:FAMILY"},
    ),
    "access token revoked": (
        lambda s: s.client.revoke(s.access),
        "token revoked",
        "info",
        {"client": CLIENT, "family": FAMILY, "subject": "token:FAMILY.1"},
    ),
    "revocation refused": (
        lambda s: s.other.revoke(s.refresh),
        "revocation refused",
        "warning",
        {"client": OTHER, "family": FAMILY, "error": "invalid_grant", "reason": "token of CLIENT"},
    ),
    "revoked by an operator": (
        lambda s: s.client.admin_revoke("family", s.family),
        "revoked by operator",
        "info",
        {"subject": "family:FAMILY"},
    ),
    "revoked token at introspection": (
        lambda s: (s.client.revoke(s.refresh), s.client.introspect(s.access)),
        "token inactive",
        "warning",
        {"client": CLIENT, "family": FAMILY, "reason": "marked by family:FAMILY"},
    ),
    "something else at introspection": (
        lambda s: s.client.introspect(s.refresh),
        "token inactive",
        "warning",
        {"reason": "not a at by its prefix, or no JWE of dir"},
    ),
    "wrong introspection secret": (
        lambda s: s.client.http.post(f"{s.client.url}/introspect", headers={"Authorization": "Bearer wrong"}),
        "introspection refused",
        "warning",
        {"reason": "wrong credential", "address": "127.0.0.1"},
    ),
    "no admin secret": (
        lambda s: s.client.http.post(f"{s.client.url}/admin/revoke"),
        "admin refused",
        "warning",
        {"reason": "no credential", "address": "127.0.0.1"},
    ),
    "no secret for the feed": (
        lambda s: s.client.http.get(f"{s.client.url}/denylist"),
        "denylist refused",
        "warning",
        {"reason": "no credential", "address": "127.0.0.1"},
    ),
    "an event of the host product": (
        lambda s: s.client.http.post(
            f"{s.client.url}/admin/events",
            json={"event": "account_deleted", "account": "nobody/here"},
            headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
        ),
        "revoked by operator",
        "info",
        {"subject": "account:nobody%2Fhere"},
    ),
}


@pytest.mark.parametrize(("step", "event", "level", "facts"), DECISIONS.values(), ids=DECISIONS)
def test_a_decision_is_one_line_that_says_what_whose_and_why(
    story: Story, step: Step, event: str, level: str, facts: dict[str, Any]
) -> None:
    """With the request's id, and client handle and family where they are known."""
    before = len(story.replica.settled())
    step(story)
    lines = [line for line in story.replica.settled()[before:-1] if line["event"] == event]
    names = {
        CLIENT: client_handle(story.client.client_id),
        OTHER: client_handle(story.other.client_id),
        FAMILY: story.family,
    }
    [line] = lines
    assert line.keys() >= ALWAYS
    assert line["level"] == level
    for name, value in facts.items():
        expected = re.sub("|".join(names), lambda match: names[match[0]], value) if isinstance(value, str) else value
        assert line[name] == expected, name
    if event == "authorization granted":
        assert line["family"]
        assert line["credential"]


def test_a_request_says_its_id_to_the_log_and_to_whoever_asked(replica: Replica) -> None:
    """The balancer's own where it sends one; anything else that stands there is no id."""
    client = Client(replica.url)
    for given in ("0123456789abcdef", "a.b-c_D"):
        answer = client.http.post(f"{client.url}/token", headers={"X-Request-ID": given})
        assert answer.headers["x-request-id"] == given
        assert replica.logged("token refused", request_id=given)
    for hostile in ("x" * 65, 'a"b', "a b", "a{b}"):
        answer = client.http.post(f"{client.url}/token", headers={"X-Request-ID": hostile})
        assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])


def test_every_line_is_json_whatever_clients_put_into_their_requests(replica: Replica) -> None:
    """No line breaks out of its own, and no request takes more room than it deserves."""
    client = Client(replica.url)
    before = len(replica.lines)
    for hostile in (
        'a\nb\r{"event":"token issued"}',
        "\u2028\u0085\x1b[2J",
        "x" * 60_000,
        "\ud83d".encode(errors="ignore").decode(),
    ):
        client.http.post(f"{client.url}/register", json={"redirect_uris": [hostile], "client_name": hostile})
        client.http.post(f"{client.url}/token", data={"grant_type": hostile, "client_id": hostile})
        client.http.post(f"{client.url}/token", data={"grant_type": "refresh_token", "client_id": hostile})
        client.http.get(f"{client.url}/authorize", params={"client_id": hostile[:9_000]})
        client.admin_revoke(hostile, hostile)
        client.admin_revoke("user", f"{hostile}/{hostile}")
    replica.settled()
    lines = replica.lines[before:]
    assert all(json.loads(line) for line in lines)
    assert max(map(len, lines)) < 2_000
    assert all(line.isascii() for line in lines)


@pytest.mark.parametrize(("ledger", "workers"), [("memory://", 1), (SQLITE, 2)])
def test_a_whole_life_leaves_no_secret_in_the_log(start: Start, ledger: str, workers: int) -> None:
    """Tokens, codes, keys, verifiers, client secrets, cookies, sealed requests: in their places and in wrong ones."""
    key = "key with spaces, commäs = and ümlauts"
    replica = start(ledger, workers=workers, api_keys=f"{api_key_entry(API_KEY)},{api_key_entry(key, user='bob')}")
    public, confidential = Client(replica.url), Client(replica.url, api_key=key)
    confidential.register(token_endpoint_auth_method="client_secret_post")
    for client in (public, confidential):
        issued, code = client.sign_in(), client.code()
        url, page = client.page()
        values = [
            issued.access,
            issued.refresh,
            code,
            client.client_id,
            client.client_secret or "none",
            client.verifier,
        ]
        values += [client.api_key, *client.http.cookies.values()]
        for value in values:
            client.introspect(value)
            client.refresh(value)
            client.redeem(value)
            client.redeem(code, code_verifier=value)
            client.refresh(issued.refresh, client_id=value)
            client.refresh(issued.refresh, client_secret=value)
            client.revoke(value)
            client.page(client_id=value)
            client.page(redirect_uri=value)
            client.page(resource=value, scope=value)
            client.decide(url, page, api_key=value + "x")
            client.decide(url, page, request=value)
            client.http.post(f"{client.url}/token", data={"grant_type": value, "client_id": client.client_id})
            client.http.post(f"{client.url}/register", json={"redirect_uris": [value], "client_name": value})
            ascii_value = value.encode("ascii", "ignore").decode()
            for path in ("introspect", "admin/revoke", "token", "revoke"):
                headers = {"Authorization": f"Bearer {ascii_value}"}
                client.http.post(f"{client.url}/{path}", data={"token": value}, headers=headers)
            client.http.post(f"{client.url}/token", auth=(ascii_value, ascii_value))
    replica.settled()
    assert len(replica.log) > 100
    assert not replica.leaks()


def test_the_search_for_secrets_finds_whole_ones_parts_and_odd_ones() -> None:
    """What the other tests rely on."""
    token = next((secret for secret in KNOWN_SECRETS if "." in secret), "tsat_" + "abcdefgh" * 10)
    odd = "key with spaces, commäs = and ümlauts"
    known = {token, odd, "short-one"}
    assert leaks(f'{{"reason":"{token}"}}', known) == {token}
    assert leaks(f'{{"reason":"…{token[40:70]}…"}}', known) == {token}
    assert leaks(json.dumps({"reason": odd}), known) == {odd}
    assert leaks('{"reason":"short-one"}', known) == {"short-one"}
    assert leaks('{"family":"dR5c0aT8f0mKxk4Q","client":"baMkjept3YcWbRj3D53IJg"}', known) == set()
