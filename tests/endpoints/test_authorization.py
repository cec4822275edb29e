"""`/authorize`: what goes back to the client, what stays on a page, and for how long a page is good."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import httpx
import pytest

from tests.endpoints.local import ISSUER, SECOND, Down, Service
from tests.replica import REDIRECT_URI, Client, api_key_entry, hidden_inputs, redirect_parameters
from tokensvc.protocol.resource_indicator import Resources


@pytest.fixture
def client(service: Service) -> Client:
    client = service.client()
    client.register()
    return client


def page(answer: httpx.Response, status: int) -> str:
    """The text of an error page, which goes nowhere and names nothing that it was sent."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert answer.headers["cache-control"] == "no-store"
    assert "location" not in answer.headers
    return answer.text


def ask(client: Client, query: str | bytes) -> httpx.Response:
    return client.http.get(
        httpx.URL(f"{client.url}/authorize").copy_with(query=query.encode() if isinstance(query, str) else query)
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": ""},
        {"client_id": "unknown"},
        {"client_id": "." * 9000},
        {"redirect_uri": ""},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": "http://127.0.0.1:33418/other"},
        {"redirect_uri": "http://localhost:33418/callback"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "é"},
        {"state": "x" * 2049},
        {"state": "a\x00b"},
        {"state": "a\nb"},
        {"state": "a\u202eb"},
    ],
    ids=lambda changes: next(f"{name}={value[:40]!r}" for name, value in changes.items()),
)
def test_what_cannot_be_answered_to_the_client_is_told_to_the_person(client: Client, changes: dict[str, str]) -> None:
    text = page(client.page(**changes)[1], 400)
    assert all(value not in text for value in changes.values() if value)


@pytest.mark.parametrize("repeated", ["client_id", "redirect_uri", "state"])
def test_repeated_parameter_that_decides_where_to_answer_stays_on_the_page(client: Client, repeated: str) -> None:
    query = client.authorize_url().partition("?")[2]
    page(ask(client, f"{query}&{repeated}=x"), 400)


@pytest.mark.parametrize("query", [b"", b"%ff", b"client_id=%ff", b"&".join([b"a=1"] * 65), b"a" * 20_000])
def test_link_that_cannot_be_read_is_a_page(client: Client, query: bytes) -> None:
    page(ask(client, query), 400)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": ""}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"request": "eyJ"}, "invalid_request"),
        ({"request_uri": "https://app.example/r"}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "x" * 42}, "invalid_request"),
        ({"code_challenge": "x" * 44}, "invalid_request"),
        ({"code_challenge": "x" * 42 + "="}, "invalid_request"),
        ({"resource": "https://other.example"}, "invalid_target"),
        ({"resource": f"{ISSUER}#fragment"}, "invalid_target"),
        ({"resource": "relative"}, "invalid_target"),
    ],
    ids=str,
)
def test_every_other_error_goes_to_the_client_with_state_and_issuer(
    client: Client, changes: dict[str, str], error: str
) -> None:
    answer = client.page(**changes)[1]
    assert answer.status_code == 303
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    parameters = redirect_parameters(answer)
    assert parameters.pop("error_description")
    assert parameters == {"error": error, "state": "af0ifjsldkj/+=", "iss": ISSUER}


@pytest.mark.parametrize(
    ("more", "error"), [("&scope=a&scope=b", "invalid_request"), ("&resource=a&resource=b", "invalid_target")]
)
def test_other_repeated_parameters_are_told_to_the_client(client: Client, more: str, error: str) -> None:
    answer = ask(client, client.authorize_url().partition("?")[2] + more)
    assert redirect_parameters(answer)["error"] == error


def test_state_that_was_not_sent_is_not_sent_back(client: Client) -> None:
    answer = client.page(state="", response_type="token")[1]
    assert "state" not in redirect_parameters(answer)


@pytest.mark.parametrize("state", ["/+=", "a b&c=d#e%20", "x" * 2048, "é日", '"<>\\^`{|}', "%", "+", " "])
def test_state_comes_back_exactly(client: Client, state: str) -> None:
    url, shown = client.page(state=state)
    assert redirect_parameters(client.decide(url, shown))["state"] == state
    assert redirect_parameters(client.decide(url, shown, "deny"))["state"] == state


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "https://app.example/callback",
        "https://app.example/callback?a=b&c=%2F",
        "https://app.example",
        "https://app.example/?",
        "http://localhost/callback",
        "http://127.0.0.1:1/callback",
        "http://[::1]:8080/callback",
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "com.example.app:/callback",
    ],
)
def test_answer_is_added_to_the_redirect_uri_as_it_was_written(service: Service, redirect_uri: str) -> None:
    client = service.client()
    client.redirect_uri = redirect_uri
    client.register()
    url, shown = client.page()
    location = client.decide(url, shown).headers["location"]
    base = redirect_uri.removesuffix("?")
    assert location.startswith(f"{base}{'&' if '?' in base else '?'}code=")


@pytest.mark.parametrize("port", ["", ":1", ":33418", ":65535"])
def test_port_of_a_loopback_address_is_the_clients_affair(client: Client, port: str) -> None:
    url, shown = client.page(redirect_uri=f"http://127.0.0.1{port}/callback")
    assert client.decide(url, shown).headers["location"].startswith(f"http://127.0.0.1{port}/callback?")


def test_page_is_good_for_ten_minutes() -> None:
    with Service() as service:
        client = service.client()
        client.register()
        url, shown = client.page()
        service.clock.now += 600 * SECOND - 1
        assert client.decide(url, shown).status_code == 303
        service.clock.now += 1
        for decision in ("allow", "deny"):
            assert "expired" in page(client.decide(url, shown, decision), 400)


@pytest.mark.parametrize("request_", ["", "x", "tsrq_x..a.b.c", "." * 17_000, "é"])
def test_form_without_its_sealed_request_is_a_page(client: Client, request_: str) -> None:
    url, shown = client.page()
    page(client.decide(url, shown, request=request_), 400)


def test_form_is_a_form(client: Client) -> None:
    url, shown = client.page()
    form = hidden_inputs(shown.text) | {"decision": "allow", "api_key": client.api_key}
    page(client.http.post(url, json=form), 400)
    page(client.http.post(url, content=urlencode(form)), 400)
    page(client.http.post(url, data=form | {"decision": ["allow", "deny"]}), 400)
    page(client.http.post(url, content=b"x=%ff", headers={"Content-Type": "application/x-www-form-urlencoded"}), 400)
    page(client.http.post(url, data=form | {"x": "x" * 70_000}), 413)
    page(client.http.post(url, params=form, data={"a": "b"}), 400)


@pytest.mark.parametrize("decision", ["", "Allow", "ALLOW", "yes", "allow ", "deny\x00"])
def test_decision_is_allow_or_deny_to_the_letter(client: Client, decision: str) -> None:
    url, shown = client.page()
    page(client.decide(url, shown, decision), 400)


def test_wrong_key_shows_the_same_page_again(client: Client) -> None:
    url, shown = client.page()
    for api_key in ("wrong", "", client.api_key + "x", "é", "x" * 60_000):
        answer = client.decide(url, shown, api_key=api_key)
        assert answer.status_code == 401
        assert hidden_inputs(answer.text) == hidden_inputs(shown.text)
        assert len(api_key) < 2 or api_key not in answer.text


def test_key_of_spaces_alone_is_no_key_even_if_the_empty_one_is_listed() -> None:
    """As a script lists it that hashed a variable which was not set."""
    with Service({"api_keys": api_key_entry("")}) as service:
        client = service.client()
        client.register()
        url, shown = client.page()
        for api_key in ("", " ", "\t\n"):
            assert client.decide(url, shown, api_key=api_key).status_code == 401


def test_resource_that_was_taken_away_meanwhile_is_a_page(service: Service, client: Client) -> None:
    url, shown = client.page()
    with service.changed(resources=Resources.parse("https://other.example", ISSUER)):
        page(client.decide(url, shown), 400)
    assert client.decide(url, shown).status_code == 303


def test_outage_of_the_ledger_is_a_page_that_says_when_to_come_back(service: Service, client: Client) -> None:
    url, shown = client.page()
    with service.changed(ledger=Down()):
        answer = client.decide(url, shown)
        page(answer, 503)
        assert int(answer.headers["retry-after"]) > 0
        assert client.decide(url, shown, "deny").status_code == 303
    assert client.decide(url, shown).status_code == 303


def test_page_shows_resource_scopes_and_host_and_hides_the_rest(client: Client) -> None:
    _, shown = client.page(scope="mcp unknown")
    assert ISSUER in shown.text
    assert "127.0.0.1:33418" in shown.text
    assert "unknown" not in shown.text
    assert client.client_id not in shown.text


def test_decision_without_the_cookie_of_the_page_is_refused(client: Client) -> None:
    url, shown = client.page()
    client.http.cookies.clear()
    for decision in ("allow", "deny"):
        page(client.decide(url, shown, decision), 403)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "evil"])
def test_decision_that_another_site_sent_is_refused(client: Client, site: str) -> None:
    url, shown = client.page()
    client.http.headers["Sec-Fetch-Site"] = site
    page(client.decide(url, shown), 403)
    for own in ("same-origin", "none"):
        client.http.headers["Sec-Fetch-Site"] = own
        assert client.decide(url, shown).status_code == 303


def test_program_that_probes_for_an_unknown_client_reads_json(client: Client) -> None:
    answer = client.http.get(client.authorize_url(client_id="unknown"), headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")
    assert answer.json()["registration_endpoint"] == f"{ISSUER}/register"
    assert client.http.get(client.authorize_url(), headers={"Accept": "application/json"}).status_code == 200
    with Service({"registration": "off"}) as closed, closed.http() as http:
        answer = http.get("/authorize?client_id=x", headers={"Accept": "application/json"})
        assert answer.json().keys() == {"error", "error_description"}


def test_head_asks_without_a_page(client: Client) -> None:
    assert client.http.head(client.authorize_url()).status_code == 200
    assert client.http.head("/authorize").status_code == 400


def test_policy_of_today_holds_for_clients_that_registered_before_it(service: Service) -> None:
    client = service.client()
    client.redirect_uri = "https://app.example/callback"
    client.register()
    stricter = Service(service.values | {"redirect_hosts": "claude.ai"})
    with stricter:
        other = stricter.client()
        other.client_id, other.redirect_uri = client.client_id, client.redirect_uri
        page(other.page()[1], 400)


def test_client_that_registered_without_the_code_grant_is_told() -> None:
    clients = f'[{{"client_id":"r","redirect_uris":["{REDIRECT_URI}"],"grant_types":["refresh_token"]}}]'
    with Service({"clients": clients}) as service:
        client = service.client()
        client.client_id = "r"
        assert redirect_parameters(client.page()[1])["error"] == "unauthorized_client"


def test_resource_may_be_asked_for_in_another_spelling(client: Client) -> None:
    assert client.page(resource=quote("HTTPS://AUTH.EXAMPLE.COM/", safe=":/"))[1].status_code == 200
