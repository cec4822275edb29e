"""Failed attempts at a secret: counted by address, so that nobody guesses at speed and nobody else is locked out."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.endpoints.local import Service
from tests.replica import ADMIN_TOKEN, API_KEY, INTROSPECTION_TOKEN, REDIRECT_URI
from tokensvc.endpoints.attempts import PER_MINUTE, PER_SECOND_ON_LOOPBACK, Attempts
from tokensvc.errors import TooManyRequests

OUTSIDE, OTHER = "203.0.113.7", "203.0.113.8"


def failures(attempts: Attempts, address: str, most: int = 2000) -> int:
    """How many failures an address has before it is limited."""
    for count in range(most):
        try:
            attempts.check("secret", address)
        except TooManyRequests:
            return count
        attempts.failed("secret", address)
    return most


@pytest.mark.parametrize("address", [OUTSIDE, "10.0.0.1", "2001:db8::1", "::ffff:203.0.113.9", "fe80::1%eth0", "", "x"])
def test_address_has_some_failures_free(address: str) -> None:
    assert failures(Attempts(limited=True), address) == PER_MINUTE


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_has_room_for_hundreds_a_second(address: str) -> None:
    assert failures(Attempts(limited=True), address) >= PER_SECOND_ON_LOOPBACK


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (OUTSIDE, OTHER, False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:203.0.113.7", OUTSIDE, True),
        ("::ffff:203.0.113.7", "::ffff:203.0.113.8", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("not an address", "nor this", True),
    ],
)
def test_household_counts_as_one_and_no_other_with_it(one: str, other: str, shared: bool) -> None:
    attempts = Attempts(limited=True)
    failures(attempts, one)
    assert (failures(attempts, other) == 0) is shared


def test_failures_at_one_secret_leave_the_others_open() -> None:
    attempts = Attempts(limited=True)
    failures(attempts, OUTSIDE)
    attempts.check("another secret", OUTSIDE)


def test_successes_are_not_counted() -> None:
    attempts = Attempts(limited=True)
    for _ in range(10 * PER_MINUTE):
        attempts.check("secret", OUTSIDE)


def test_limits_can_be_switched_off() -> None:
    assert failures(Attempts(limited=False), OUTSIDE) == 2000


def guess_introspection(http: httpx.Client, secret: str) -> httpx.Response:
    return http.post("/introspect", data={"token": "x"}, headers={"Authorization": f"Bearer {secret}"})


def guess_admin(http: httpx.Client, secret: str) -> httpx.Response:
    return http.get("/admin/denylist", headers={"Authorization": f"Bearer {secret}"})


def guess_registration(http: httpx.Client, secret: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {secret}"}
    return http.post("/register", json={"redirect_uris": [REDIRECT_URI]}, headers=headers)


GUESSES: dict[str, tuple[Callable[[httpx.Client, str], httpx.Response], str]] = {
    "introspection": (guess_introspection, INTROSPECTION_TOKEN),
    "admin": (guess_admin, ADMIN_TOKEN),
    "registration": (guess_registration, "let-me-in"),
}


@pytest.mark.parametrize("secret", GUESSES)
def test_brute_force_on_a_secret_is_limited_and_others_are_not_locked_out(secret: str) -> None:
    guess, right = GUESSES[secret]
    with Service({"registration": "token:let-me-in"}) as service:
        attacker, other, local = service.http(OUTSIDE), service.http(OTHER), service.http()
        statuses = [guess(attacker, f"guess{number}").status_code for number in range(PER_MINUTE + 5)]
        assert statuses == [401] * PER_MINUTE + [429] * 5
        answer = guess(attacker, right)
        assert (answer.status_code, answer.json()["error"]) == (429, "temporarily_unavailable")
        assert 0 < int(answer.headers["retry-after"]) <= 60
        assert answer.headers["cache-control"] == "no-store"
        assert {guess(http, right).status_code for http in (other, local)} <= {200, 201}


def test_brute_force_on_a_client_secret_is_limited() -> None:
    with Service() as service:
        client, attacker = service.client(OTHER), service.client(OUTSIDE)
        client.register(token_endpoint_auth_method="client_secret_post")
        issued = client.sign_in()
        attacker.client_id = client.client_id
        statuses = [attacker.refresh("x", client_secret=f"guess{n}").status_code for n in range(PER_MINUTE + 2)]
        assert statuses == [401] * PER_MINUTE + [429] * 2
        assert attacker.refresh(issued.refresh, client_secret=client.client_secret).status_code == 429
        assert client.refresh(issued.refresh).status_code == 200


def test_public_clients_behind_a_limited_address_go_on() -> None:
    """Only who sends a secret is held to have failed at one."""
    with Service() as service:
        attacker = service.client(OUTSIDE)
        attacker.register(token_endpoint_auth_method="client_secret_post")
        for number in range(PER_MINUTE + 2):
            attacker.refresh("x", client_secret=f"guess{number}")
        assert service.client(OUTSIDE).sign_in().access


def test_brute_force_on_the_sign_in_page_is_limited_with_a_page() -> None:
    with Service() as service:
        client, other = service.client(OUTSIDE), service.client(OTHER)
        client.register()
        url, page = client.page()
        statuses = [client.decide(url, page, api_key=f"guess{n}").status_code for n in range(PER_MINUTE + 2)]
        assert statuses == [401] * PER_MINUTE + [429] * 2
        answer = client.decide(url, page, api_key=API_KEY)
        assert (answer.status_code, answer.headers["content-type"]) == (429, "text/html; charset=utf-8")
        assert "Too many attempts" in answer.text
        assert client.decide(url, page, "deny").status_code == 303
        assert other.sign_in().access


def test_empty_key_is_no_guess() -> None:
    with Service() as service:
        client = service.client(OUTSIDE)
        client.register()
        url, page = client.page()
        for _ in range(PER_MINUTE + 2):
            assert client.decide(url, page, api_key="").status_code == 401
        assert client.decide(url, page).status_code == 303
