"""The cookie that binds a request in flight to one browser."""

from __future__ import annotations

from http.cookies import SimpleCookie

import pytest

from tests.endpoints.local import Service
from tests.replica import Client
from tokensvc.endpoints import cookies


@pytest.fixture
def client(service: Service) -> Client:
    client = service.client()
    client.register()
    return client


def attributes(header: str) -> set[str]:
    return {part.strip().lower() for part in header.split(";")[1:]}


def test_under_https_the_cookie_is_bound_to_the_host(client: Client) -> None:
    _, page = client.page()
    header = page.headers["set-cookie"]
    assert header.startswith("__Host-tokensvc-")
    assert attributes(header) == {"httponly", "max-age=600", "path=/", "samesite=lax", "secure"}


def test_on_loopback_the_cookie_does_without_https() -> None:
    with Service({"issuer": "http://127.0.0.1:8000"}) as service:
        client = service.client()
        client.register()
        _, page = client.page()
        assert page.headers["set-cookie"].startswith("tokensvc-")
        assert "secure" not in attributes(page.headers["set-cookie"])


def test_every_request_has_a_cookie_of_its_own(client: Client) -> None:
    values = {client.page()[1].headers.get_list("set-cookie")[-1].partition(";")[0] for _ in range(10)}
    assert (
        len({value.partition("=")[0] for value in values}) == len({value.partition("=")[2] for value in values}) == 10
    )


def test_oldest_cookies_make_room(service: Service, client: Client) -> None:
    names = []
    for _ in range(cookies.MOST + 3):
        service.clock.now += 1
        _, page = client.page()
        names.append(page.headers.get_list("set-cookie")[-1].partition("=")[0])
    assert sorted(client.http.cookies.keys()) == names[-cookies.MOST :]


@pytest.mark.parametrize(
    "header",
    [
        "; ".join(f"__Host-tokensvc-({number})=x" for number in range(6)),
        "; ".join(f'__Host-tokensvc-"{number}=x' for number in range(6)),
        "; ".join(f"__Host-tokensvc-{number:015x}{number}=x" for number in range(6)),
        "; ".join(f"tokensvc-{number:015x}=x" for number in range(6)),
        "; ".join(f"__Host-tokensvc-é{number}=x" for number in range(6)),
        "__Host-tokensvc-=x;" * 6,
        "=;;=; ;,",
        "x" * 8000,
    ],
)
def test_cookies_that_are_not_ours_are_left_alone(service: Service, client: Client, header: str) -> None:
    with service.http() as http:
        answer = http.get(client.authorize_url(), headers=[(b"Cookie", header.encode())])
        assert answer.status_code == 200
        assert len(answer.headers.get_list("set-cookie")) == 1


def test_cookie_of_a_decision_is_opened_from_any_order_of_cookies(client: Client) -> None:
    url, page = client.page()
    [(name, morsel)] = SimpleCookie(page.headers.get_list("set-cookie")[-1]).items()
    client.http.cookies.clear()
    for header in (
        f"a=b; {name}={morsel.value}; c=d",
        f'{name}="{morsel.value}"',
        f"{name}=wrong; {name}={morsel.value}",
    ):
        client.http.headers["Cookie"] = header
        assert client.decide(url, page).status_code == 303
