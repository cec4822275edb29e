"""Tokens that are bound to a key (RFC 9449 §7): let in with a proof, and in no other way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from tests.proofs import Prover
from tests.resource.support import RESOURCE, TOKEN, Scripted, facts, get, protected, run
from tokensvc.resource import BearerAuth, Unavailable, verify
from tokensvc.resource.proof import WINDOW, Proofs
from tokensvc.resource.token import AccessToken, NotProved

PROVER = Prover()
METADATA = "/.well-known/oauth-protected-resource/mcp"


def service(prover: Prover = PROVER, **changes: Any) -> Scripted:
    return Scripted(answers=facts(cnf={"jkt": prover.jkt}, token_type="DPoP", **changes))


def app(**options: Any) -> ASGIApp:
    return protected(service().verifier(), **options)


def proved(app: ASGIApp, *proofs: str, path: str = "/mcp", scheme: str = "DPoP", **headers: str) -> httpx.Response:
    given = [("Authorization", f"{scheme} {TOKEN}"), *(("DPoP", proof) for proof in proofs), *headers.items()]

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.internal:8080") as http:
            return await http.get(path, headers=given)

    answer: httpx.Response = run(ask())
    return answer


def refused(answer: httpx.Response, error: str) -> str:
    assert answer.status_code == 401, answer.text
    assert answer.json()["error"] == error
    challenge = answer.headers["www-authenticate"]
    assert f'error="{error}"' in challenge
    assert "resource_metadata=" in challenge
    return challenge


@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "DPOP"])
def test_token_with_its_proof_gets_in(scheme: str) -> None:
    answer = proved(app(scopes=["mcp"]), PROVER.proof("GET", RESOURCE, token=TOKEN), scheme=scheme)
    assert (answer.status_code, answer.json()["sub"]) == (200, "acme/ada")


def test_url_is_that_of_the_resource_without_the_query_and_never_what_host_says() -> None:
    protected_app = app()
    url = "https://api.example.com/files"
    assert proved(protected_app, PROVER.proof("GET", url, token=TOKEN), path="/files?page=2").status_code == 200
    for wrong in (RESOURCE, "http://api.internal:8080/files", "https://api.example.com/files/"):
        refused(proved(protected_app, PROVER.proof("GET", wrong, token=TOKEN), path="/files"), "invalid_dpop_proof")
    # Where no origin is configured, it is that of the token's audience.
    path_alone = protected(service().verifier(issuer="", url="https://auth.example.com", resource="/mcp"))
    elsewhere = PROVER.proof("GET", "https://evil.example/mcp", token=TOKEN)
    refused(proved(path_alone, elsewhere, Host="evil.example"), "invalid_dpop_proof")
    right = PROVER.proof("GET", RESOURCE, token=TOKEN)
    assert proved(path_alone, right, Host="evil.example").status_code == 200


@pytest.mark.parametrize(
    "make",
    [
        list,
        lambda: ["x"],
        lambda: [PROVER.proof("GET", RESOURCE, token=TOKEN)] * 2,
        lambda: [PROVER.proof("POST", RESOURCE, token=TOKEN)],
        lambda: [PROVER.proof("GET", RESOURCE)],
        lambda: [PROVER.proof("GET", RESOURCE, token="another")],
        lambda: [PROVER.proof("GET", RESOURCE, token=TOKEN, iat=int(time.time()) - 600)],
        lambda: [PROVER.proof("GET", RESOURCE, token=TOKEN, iat=int(time.time()) + 600)],
        lambda: [PROVER.proof("GET", RESOURCE, token=TOKEN, header={"typ": "JWT"})],
        lambda: [PROVER.proof("GET", RESOURCE, token=TOKEN, header={"jwk": Prover().jwk})],
        lambda: [Prover().proof("GET", RESOURCE, token=TOKEN)],
    ],
    ids=["none", "junk", "two", "method", "no ath", "ath", "old", "ahead", "typ", "key", "a key of the thief's"],
)
@pytest.mark.parametrize("others", [False, True])
def test_other_proofs_are_refused(make: Callable[[], list[str]], others: bool) -> None:
    """Made when they are shown: by then what was made when the tests were collected would be old."""
    challenge = refused(proved(app(scopes=["mcp"], pass_others=others), *make()), "invalid_dpop_proof")
    assert challenge.startswith("DPoP ")
    assert 'algs="ES256 ES384 Ed25519 EdDSA RS256 PS256"' in challenge
    assert 'scope="mcp"' in challenge


def test_proof_is_good_once() -> None:
    protected_app = app()
    proof = PROVER.proof("GET", RESOURCE, token=TOKEN)
    assert proved(protected_app, proof).status_code == 200
    refused(proved(protected_app, proof), "invalid_dpop_proof")
    assert proved(protected_app, PROVER.proof("GET", RESOURCE, token=TOKEN)).status_code == 200


@pytest.mark.parametrize("others", [False, True])
def test_stolen_token_is_no_bearer(others: bool) -> None:
    protected_app = app(pass_others=others)
    challenge = refused(run(get(protected_app, token=TOKEN)), "invalid_token")
    assert challenge.startswith("DPoP ")
    refused(proved(protected_app, PROVER.proof("GET", RESOURCE, token=TOKEN), scheme="Bearer"), "invalid_token")


def test_bearer_is_not_shown_as_bound() -> None:
    protected_app = protected(Scripted().verifier())
    refused(proved(protected_app, PROVER.proof("GET", RESOURCE, token=TOKEN)), "invalid_token")
    assert run(get(protected_app, token=TOKEN)).status_code == 200


@pytest.mark.parametrize("others", [False, True])
def test_token_that_is_not_active_is_refused_in_its_scheme(others: bool) -> None:
    inactive = protected(Scripted(answers={"active": False}).verifier(), pass_others=others)
    challenge = refused(proved(inactive, PROVER.proof("GET", RESOURCE, token=TOKEN)), "invalid_token")
    assert challenge.startswith("DPoP ")
    unavailable = protected(Scripted(status=503).verifier(), pass_others=others)
    assert proved(unavailable, PROVER.proof("GET", RESOURCE, token=TOKEN)).status_code == 503


def test_lack_of_a_scope_is_told_in_the_scheme_too() -> None:
    for protected_app, path in (
        (app(scopes=["admin"]), "/mcp"),
        (protected(service(scope="mcp").verifier()), "/files"),
    ):
        proof = PROVER.proof("GET", f"https://api.example.com{path}", token=TOKEN)
        answer = proved(protected_app, proof, path=path)
        assert answer.status_code == 403
        assert answer.headers["www-authenticate"].startswith('DPoP error="insufficient_scope"')


def test_server_that_requires_bound_tokens_says_so_and_takes_no_others() -> None:
    requiring = protected(Scripted().verifier(), dpop="required")
    assert run(get(requiring)).headers["www-authenticate"].startswith("DPoP ")
    refused(run(get(requiring, token=TOKEN)), "invalid_token")
    metadata = run(get(requiring, METADATA)).json()
    assert metadata["dpop_bound_access_tokens_required"] is True
    assert proved(app(dpop="required"), PROVER.proof("GET", RESOURCE, token=TOKEN)).status_code == 200


def test_metadata_says_what_proofs_may_be_signed_with() -> None:
    metadata = run(get(app(), METADATA)).json()
    assert "ES256" in metadata["dpop_signing_alg_values_supported"]
    assert "dpop_bound_access_tokens_required" not in metadata
    assert not [name for name in run(get(app(dpop="off"), METADATA)).json() if name.startswith("dpop")]


def test_clients_that_prove_nothing_are_challenged_as_ever() -> None:
    assert run(get(app())).headers["www-authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("scheme", ["Bearer", "DPoP"])
@pytest.mark.parametrize("others", [False, True])
def test_proxies_are_told_to_refuse_bound_tokens(scheme: str, others: bool) -> None:
    """The proof is of another request than the one that the proxy asks with."""
    checker = verify.application(service().verifier(), ["mcp"], pass_others=others)
    for url in (RESOURCE, "https://api.example.com/verify"):
        challenge = refused(
            proved(checker, PROVER.proof("GET", url, token=TOKEN), path="/verify", scheme=scheme), "invalid_token"
        )
        assert challenge.startswith("Bearer ")


def test_whoever_asks_the_verifier_alone_gets_no_bound_token() -> None:
    """So does the adapter for the MCP SDK, which knows bearers only."""
    verifier = service().verifier()
    assert run(verifier.verify(TOKEN)) is None
    found = run(service().verifier().find(TOKEN))
    assert found is not None
    assert found.jkt == PROVER.jkt


@pytest.mark.parametrize(
    "changes",
    [
        {"cnf": {"x5t#S256": "x"}},
        {"cnf": {"jkt": "x", "x5t#S256": "x"}},
        {"cnf": {"jkt": ""}},
        {"cnf": {}},
        {"cnf": "x"},
        {"cnf": None},
        {"token_type": "DPoP"},
    ],
    ids=["certificate", "key and certificate", "empty", "nothing", "text", "null", "token_type alone"],
)
def test_token_that_is_bound_to_something_unknown_is_nobodys(changes: dict[str, Any]) -> None:
    assert run(get(protected(Scripted(answers=facts(**changes)).verifier()), token=TOKEN)).status_code == 503


def check(proofs: Proofs, proof: str, now: float = 0.0, prover: Prover = PROVER, **changes: Any) -> None:
    token = AccessToken.parse(facts(cnf={"jkt": prover.jkt}, **changes))
    proofs.check(token, TOKEN, [proof], "GET", RESOURCE, epoch=time.time(), now=now)


def test_proofs_are_remembered_for_as_long_as_they_are_good_and_no_longer() -> None:
    proofs = Proofs(most=2)
    ahead = PROVER.proof("GET", RESOURCE, token=TOKEN, iat=int(time.time()) + WINDOW - 5)
    check(proofs, ahead)
    for now in (1.0, 2.0 * WINDOW, 2.0 * WINDOW + 2, 4.0 * WINDOW):
        with pytest.raises(NotProved, match="before"):
            check(proofs, ahead, now)
    for turn in range(1, 5):
        check(proofs, PROVER.proof("GET", RESOURCE, token=TOKEN), turn * 500.0)


def test_where_there_is_no_room_to_remember_nobody_gets_in() -> None:
    proofs = Proofs(most=2)
    fresh = [PROVER.proof("GET", RESOURCE, token=TOKEN) for _ in range(4)]
    for proof in fresh[:2]:
        check(proofs, proof)
    with pytest.raises(Unavailable):
        check(proofs, fresh[2])
    with pytest.raises(NotProved):
        check(proofs, fresh[0])
    check(proofs, fresh[3], now=200.0)


def test_one_person_does_not_use_up_the_room_of_all_whatever_keys_they_have() -> None:
    proofs = Proofs(most=10, share=2)
    provers = [Prover() for _ in range(3)]
    one, two, three = (prover.proof("GET", RESOURCE, token=TOKEN) for prover in provers)
    check(proofs, one, prover=provers[0])
    check(proofs, two, prover=provers[1])
    with pytest.raises(Unavailable, match="one person"):
        check(proofs, three, prover=provers[2])
    with pytest.raises(NotProved, match="before"):
        check(proofs, one, prover=provers[0])
    check(proofs, PROVER.proof("GET", RESOURCE, token=TOKEN), sub="acme/bob", user="bob")
    check(proofs, three, now=200.0, prover=provers[2])


def test_one_inside_another_asks_for_no_second_proof() -> None:
    verifier = service().verifier()
    nested = BearerAuth(protected(verifier), verifier, scopes=["mcp"])
    proof = PROVER.proof("GET", RESOURCE, token=TOKEN)
    assert proved(nested, proof).status_code == 200
    refused(proved(nested, proof), "invalid_dpop_proof")


def test_misspelled_choice_is_no_choice() -> None:
    with pytest.raises(ValueError, match="optional, required or off"):
        run(get(app(dpop="require")))
