"""Which credentials are tokens of the service: those are asked about, and go nowhere else whatever the answer is."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from tests.resource.support import ISSUER, TOKEN, Scripted
from tokensvc.resource import BearerAuth
from tokensvc.resource.presented import Recogniser


def part(of: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(of).encode()).decode().rstrip("=")


def jwt(header: Any = None, claims: Any = None) -> str:
    return f"{part(header or {'alg': 'ES256', 'typ': 'at+jwt'})}.{part(claims or {'iss': ISSUER})}.c2ln"


DEEP = base64.urlsafe_b64encode(b'{"iss":' + b"[" * 4000).decode()
STRANGERS = {
    "another issuer's": jwt(claims={"iss": "https://other.example"}),
    "no issuer": jwt(claims={"sub": "x"}),
    "issuer in a list": jwt(claims={"iss": [ISSUER]}),
    "issuer with a slash": jwt(claims={"iss": f"{ISSUER}/"}),
    "no object": jwt(claims=[ISSUER]),
    "no json": "eyJhIjo.eyJhIjo.x",
    "deep": f"eyJhIjoxfQ.{DEEP}.x",
    "not ascii": "eyJé.eyJé.x",
    "only a beginning": "eyJ",
    "an API key": "key_for-ada",
    "a refresh token": "tsrt_x..a.b.c",
    "another prefix": "ovat_x..a.b.c",
}
OURS = {
    "sealed": TOKEN,
    "a JWT": jwt(),
    "a JWT of another type": jwt({"alg": "none", "typ": "JWT"}),
    "a JWT without its signature": jwt().rpartition(".")[0] + ".",
    "a JWT without its end": jwt().rpartition(".")[0],
}


@pytest.mark.parametrize("credential", STRANGERS.values(), ids=STRANGERS)
def test_what_is_not_the_services_goes_on_to_the_applications_own_check(credential: str) -> None:
    assert not Recogniser("ts", ISSUER).recognises(credential)
    assert not Recogniser("ts", ISSUER).may_be_active(credential)


@pytest.mark.parametrize("credential", OURS.values(), ids=OURS)
def test_what_says_that_it_is_the_services_is_its_alone(credential: str) -> None:
    assert Recogniser("ts", ISSUER).recognises(credential)


def test_where_the_issuer_is_not_known_every_jwt_that_is_an_access_token_is_taken_for_the_services() -> None:
    recogniser = Recogniser("ts", "")
    for kind in ("at+jwt", "AT+JWT", "application/at+jwt"):
        assert recogniser.recognises(jwt({"typ": kind}, {"iss": "https://other.example"}))
    for header in ({"typ": "JWT"}, {"alg": "ES256"}, {"typ": ["at+jwt"]}):
        assert not recogniser.recognises(jwt(header))


@pytest.mark.parametrize("name", ["a JWT without its signature", "a JWT without its end"])
def test_what_cannot_be_active_is_not_asked_about(name: str) -> None:
    assert not Recogniser("ts", ISSUER).may_be_active(OURS[name])
    assert not Recogniser("ts", ISSUER).may_be_active(jwt(claims={"iss": ISSUER, "x": "x" * 9000}))


def asked(service: Scripted, *credentials: str) -> list[tuple[int, bool]]:
    """Of an application that takes API keys too: each answer, and whether its own check was reached."""
    reached = False

    async def own_check(_scope: Any, _receive: Any, send: Any) -> None:
        nonlocal reached
        reached = True
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask() -> list[tuple[int, bool]]:
        nonlocal reached
        verifier, answers = service.verifier(), []
        transport = httpx.ASGITransport(BearerAuth(own_check, verifier, pass_others=True))
        async with httpx.AsyncClient(transport=transport, base_url="https://api.example.com") as http:
            for credential in credentials:
                reached = False
                answer = await http.get("/", headers={"Authorization": f"Bearer {credential}"})
                answers.append((answer.status_code, reached))
        await verifier.aclose()
        return answers

    return asyncio.run(ask())


@pytest.mark.parametrize("name", [name for name in OURS if name != "sealed"])
def test_a_jwt_of_ours_that_is_not_active_never_reaches_the_applications_own_check(name: str) -> None:
    assert asked(Scripted(answers={"active": False}), OURS[name]) == [(401, False)]


def test_an_active_jwt_goes_through_and_anothers_is_left_to_the_application() -> None:
    service = Scripted()
    assert asked(service, jwt(), STRANGERS["another issuer's"]) == [(200, True), (200, True)]
    assert len(service.asked) == 1
