"""`POST /par` and what /authorize makes of a request_uri (RFC 9126)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from tests.endpoints.local import ISSUER, SECOND, Down, Service
from tests.promises import proves
from tests.proofs import BoundClient, Prover, bound
from tests.replica import REDIRECT_URI, Client, redirect_parameters, ring_entry, tokens

URN = "urn:ietf:params:oauth:request_uri:"
SECRET = "a-secret-of-a-client"
PUSHING = {
    "client_id": "pushing",
    "redirect_uris": [REDIRECT_URI],
    "client_secret_hash": f"sha256:{hashlib.sha256(SECRET.encode()).hexdigest()}",
    "require_pushed_authorization_requests": True,
}


@pytest.fixture
def service() -> Iterator[Service]:
    with Service({"clients": json.dumps([PUSHING])}) as started:
        yield started


@pytest.fixture
def client(service: Service) -> BoundClient:
    client = bound(service.client())
    client.register()
    return client


def parameters(client: Client, **changes: str) -> dict[str, str]:
    return {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uri,
        "state": "af0ifjsldkj/+=",
        "code_challenge": client.challenge,
        "code_challenge_method": "S256",
    } | changes


def push(client: Client, **changes: str) -> httpx.Response:
    """Without a proof."""
    form = {name: value for name, value in parameters(client, **changes).items() if value}
    return client.http.post(f"{client.url}/par", data=form)


def pushed(client: Client, **changes: str) -> str:
    answer = push(client, **changes)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["request_uri"])


def link(client: Client, request_uri: str, **beside: str) -> str:
    return f"{client.url}/authorize?{urlencode({'client_id': client.client_id, 'request_uri': request_uri} | beside)}"


def decide(client: Client, request_uri: str, decision: str = "allow") -> httpx.Response:
    url = link(client, request_uri)
    return client.decide(url, client.http.get(url), decision)


def test_answer_is_that_of_the_standard_and_is_not_kept(client: Client) -> None:
    answer = push(client)
    assert answer.status_code == 201
    assert answer.json().keys() == {"request_uri", "expires_in"}
    assert answer.json()["request_uri"].startswith(URN)
    assert answer.json()["expires_in"] == 90
    assert answer.headers["cache-control"] == "no-store"


def test_request_is_decided_as_it_was_pushed_whatever_stands_beside(client: Client) -> None:
    url = link(
        client, pushed(client), state="other", redirect_uri="https://evil.example/", resource="https://x.example/"
    )
    answer = client.decide(url, client.http.get(url))
    assert answer.headers["location"].startswith(client.redirect_uri)
    found = redirect_parameters(answer)
    assert (found["state"], found["iss"]) == ("af0ifjsldkj/+=", ISSUER)
    assert client.redeem(found["code"]).status_code == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": ""}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"redirect_uri": ""}, "invalid_request"),
        ({"redirect_uri": "https://evil.example/"}, "invalid_request"),
        ({"redirect_uri": "javascript:alert(1)"}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"resource": "https://elsewhere.example/"}, "invalid_target"),
        ({"state": "x" * 2_049}, "invalid_request"),
        ({"state": "a\nb"}, "invalid_request"),
        ({"request": "a.b.c"}, "invalid_request"),
        ({"request_uri": f"{URN}x"}, "invalid_request"),
        ({"dpop_jkt": "x"}, "invalid_request"),
    ],
    ids=lambda value: (
        next(f"{name}={given[:20]!r}" for name, given in value.items()) if value.__class__ is dict else ""
    ),
)
def test_checks_are_those_of_the_authorization_endpoint(client: Client, changes: dict[str, str], error: str) -> None:
    answer = push(client, **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.headers["cache-control"] == "no-store"


def test_client_proves_who_it_is_as_at_the_token_endpoint(service: Service, client: Client) -> None:
    assert push(client, client_id="unknown").status_code == 401
    assert push(client, client_id="").status_code == 401
    known = service.client()
    known.client_id = "pushing"
    assert push(known).status_code == 401
    assert push(known, client_secret="wrong").status_code == 401
    form = parameters(known)
    assert known.http.post("/par", data=form, auth=("pushing", SECRET)).status_code == 201
    # The credentials name the client already.
    del form["client_id"]
    assert known.http.post("/par", data=form, auth=("pushing", SECRET)).status_code == 201


def test_client_that_has_to_push_may_not_come_otherwise(service: Service) -> None:
    known = service.client()
    known.client_id, known.client_secret = "pushing", SECRET
    _, answer = known.page()
    assert redirect_parameters(answer)["error"] == "invalid_request"
    request_uri = known.http.post("/par", data=parameters(known), auth=("pushing", SECRET)).json()["request_uri"]
    code = redirect_parameters(decide(known, request_uri))["code"]
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": known.verifier}
    assert known.http.post("/token", data=form, auth=("pushing", SECRET)).status_code == 200


def test_request_uri_lives_for_90_seconds_and_says_so_to_the_client(service: Service, client: Client) -> None:
    request_uri = pushed(client)
    service.clock.now += 90 * SECOND - 1
    assert client.http.get(link(client, request_uri)).status_code == 200
    service.clock.now += 1
    answer = client.http.get(link(client, request_uri))
    assert answer.headers["location"].startswith(client.redirect_uri)
    assert redirect_parameters(answer)["error"] == "invalid_request_uri"
    assert redirect_parameters(answer)["state"] == "af0ifjsldkj/+="


def test_page_that_is_open_may_take_longer(service: Service, client: Client) -> None:
    url = link(client, pushed(client))
    page = client.http.get(url)
    service.clock.now += 500 * SECOND
    assert client.decide(url, page).status_code == 303


def test_request_uri_of_another_client_or_of_nobody_is_a_page(service: Service, client: Client) -> None:
    request_uri = pushed(client)
    other = service.client()
    other.register(client_name="Another")
    with Service({"keys": ring_entry("k1")}) as foreign:
        stranger = foreign.client()
        stranger.register()
        strange = pushed(stranger)
    links = [
        link(other, request_uri),
        link(client, strange),
        link(client, URN),
        link(client, request_uri[:-1]),
        link(client, f"{URN}{'.' * 5_000}"),
        link(client, request_uri).replace("client_id=", "client="),
        link(client, request_uri) + "&request_uri=x",
        link(client, request_uri) + "&client_id=x",
    ]
    for url in links:
        answer = client.http.get(url)
        assert (answer.status_code, "location" in answer.headers) == (400, False), url
        assert "no-store" in answer.headers["cache-control"]


def test_request_uri_that_nobody_pushed_is_an_error_for_the_client(client: Client) -> None:
    _, answer = client.page(request_uri="https://client.example/request.jwt")
    assert redirect_parameters(answer)["error"] == "invalid_request"


@proves("other one-use ids", "memory", "at most once")
def test_request_is_allowed_once(client: Client) -> None:
    """It may be opened again, as by a reload (RFC 9126 §7.3)."""
    request_uri = pushed(client)
    url = link(client, request_uri)
    pages = [client.http.get(url) for _ in range(2)]
    assert client.decide(url, pages[0]).status_code == 303
    for page in (*pages, client.http.get(url)):
        answer = client.decide(url, page)
        assert answer.status_code == 400
        assert "allowed before" in answer.text


def test_denial_uses_nothing_up_and_writes_nothing(service: Service, client: Client) -> None:
    """It takes no key, so strangers could fill the ledger with theirs."""
    url = link(client, pushed(client))
    page = client.http.get(url)
    for _ in range(2):
        assert redirect_parameters(client.decide(url, page, "deny"))["error"] == "access_denied"
    with service.changed(ledger=Down()):
        assert client.decide(url, page, "deny").status_code == 303
    assert client.decide(url, page).status_code == 303


def test_wrong_key_decides_nothing(client: Client) -> None:
    url = link(client, pushed(client))
    page = client.http.get(url)
    assert client.decide(url, page, api_key="wrong").status_code == 401
    assert client.decide(url, page).status_code == 303


def test_ledger_that_cannot_be_asked_is_no_decision(service: Service, client: Client) -> None:
    url = link(client, pushed(client))
    page = client.http.get(url)
    with service.changed(ledger=Down()):
        assert client.decide(url, page).status_code == 503
    assert client.decide(url, page).status_code == 303


@proves("other one-use ids", "sqlite", "the same, on every replica")
def test_request_can_be_pushed_here_and_opened_and_decided_there(tmp_path: Path) -> None:
    with Service({"ledger": f"sqlite:///{tmp_path}/ledger.db"}) as service, Service(service.values) as neighbour:
        client = service.client()
        client.register()
        request_uri = pushed(client)
        other = neighbour.client()
        other.client_id = client.client_id
        answer = decide(other, request_uri)
        assert answer.status_code == 303
        assert decide(client, request_uri).status_code == 400


def test_resource_that_is_taken_away_meanwhile_is_told_to_the_client(service: Service, client: Client) -> None:
    request_uri = pushed(client)
    with Service(service.values | {"resources": "https://other.example.com"}, service.clock) as changed:
        other = changed.client()
        other.client_id = client.client_id
        answer = other.http.get(link(other, request_uri))
    assert redirect_parameters(answer)["error"] == "invalid_target"


@pytest.mark.parametrize("announced", [True, False], ids=["with dpop_jkt", "by the proof alone"])
def test_proof_binds_the_code_to_its_key(client: BoundClient, announced: bool) -> None:
    form = parameters(client, **({"dpop_jkt": client.prover.jkt} if announced else {}))
    assert client.prove("/par", form).json()["error"] == "use_dpop_nonce"
    answer = client.prove("/par", form)
    assert answer.status_code == 201
    assert answer.headers["dpop-nonce"]
    code = redirect_parameters(decide(client, answer.json()["request_uri"]))["code"]
    assert bound(client).redeem(code).json()["error"] == "invalid_grant"
    assert client.introspect(tokens(client.redeem(code)).access)["cnf"] == {"jkt": client.prover.jkt}


def test_proof_of_another_key_than_announced_is_refused(client: BoundClient) -> None:
    form = parameters(client, dpop_jkt=Prover().jkt)
    client.prove("/par", form)
    assert client.prove("/par", form).json()["error"] == "invalid_request"
    client.claims = {"htu": f"{ISSUER}/token"}
    assert client.prove("/par", parameters(client)).json()["error"] == "invalid_dpop_proof"


def test_longest_state_fits_in_what_a_default_nginx_takes(client: Client) -> None:
    """A request line of 8 KB; an ordinary request makes a URL that is shorter than without."""
    longest = link(client, pushed(client, state="~" * 2_048, dpop_jkt=Prover().jkt))
    assert len(longest) < 5_000
    assert client.http.get(longest).status_code == 200
    assert len(link(client, pushed(client))) < 1_200
    # Three bytes a character: nobody could carry it in a URL of its own, and this one says so.
    answer = push(client, state="語" * 2_048)
    assert (answer.status_code, answer.json()["error"]) == (413, "invalid_request")


def test_nothing_is_kept_of_what_is_pushed(service: Service, client: Client) -> None:
    for _ in range(20):
        pushed(client)
    state = service.run(service.app.state.service.server.ledger.state(service.clock.now))
    assert not state.spent


def test_metadata_names_the_endpoint(service: Service) -> None:
    metadata = service.http().get("/.well-known/oauth-authorization-server").json()
    assert metadata["pushed_authorization_request_endpoint"] == f"{ISSUER}/par"
    assert service.http().get("/par").status_code == 405
