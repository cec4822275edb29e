"""A client of any combination: how it is known, how it authenticates, what it proves, and how it gets tokens."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote_plus, urlencode

import httpx

from tests.device import Person
from tests.grants.identity_provider import a_second_ahead
from tests.matrix.combinations import REDIRECTED, Combination
from tests.matrix.sites import GRANT_TYPES, PROVIDER, REDIRECT_URIS, SECRET, SIGNERS, Known, Site, client_name
from tests.proofs import Prover
from tests.replica import Client, redirect_parameters
from tests.signer import Signer
from tokensvc.protocol.client import DEVICE_CODE
from tokensvc.protocol.id_jag import GRANT_TYPE as JWT_BEARER

PROVING = frozenset({"/token", "/par"})
"""Where a proof is worth something."""


@dataclass
class Actor:
    """Everything is asked of the replica that mints, unless another is named. `client` is the person's browser too."""

    combination: Combination
    site: Site
    documents: Mapping[tuple[str, str], Known]
    client: Client = field(init=False)
    signer: Signer | None = None
    prover: Prover | None = None
    nonce: str = ""

    def __post_init__(self) -> None:
        self.client = Client(self.site.mints.url, REDIRECT_URIS[self.combination.app])
        if self.combination.proof == "dpop":
            self.prover = Prover()

    def become_known(self) -> None:
        """By registering, by a document, or because the operator knows it."""
        match self.combination.registration:
            case "dynamic":
                self._register()
            case "document":
                known = self.documents[self.combination.method, self.combination.grant]
                self.client.client_id, self.signer = known.client_id, known.signer
            case _:
                self.client.client_id = client_name(self.combination.method, self.combination.grant)
                self.client.client_secret = SECRET
                self.signer = SIGNERS.get(self.client.client_id)

    def _register(self) -> None:
        self.client.register(
            token_endpoint_auth_method=self.combination.method,
            grant_types=GRANT_TYPES[self.combination.grant],
            redirect_uris=[*REDIRECT_URIS.values()] if self.combination.grant in REDIRECTED else [],
        )

    def post(self, path: str, url: str = "", **form: str) -> httpx.Response:
        """As this client, with a proof where there is a key; with the nonce that is asked for."""
        answer = self._post(path, url or self.site.mints.url, form)
        if answer.status_code == 400 and answer.json()["error"] == "use_dpop_nonce":
            answer = self._post(path, url or self.site.mints.url, form)
        return answer

    def _post(self, path: str, url: str, form: dict[str, str]) -> httpx.Response:
        headers: dict[str, str] = {}
        match self.combination.method:
            case "client_secret_basic":
                pair = f"{quote_plus(self.client.client_id)}:{quote_plus(self.client.client_secret)}"
                headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            case "client_secret_post":
                form = form | {"client_id": self.client.client_id, "client_secret": self.client.client_secret}
            case "private_key_jwt":
                assert self.signer
                form = form | self.signer.parameters(self.site.issuer)
            case _:
                form = form | {"client_id": self.client.client_id}
        if self.prover and path in PROVING:
            headers["DPoP"] = self.prover.proof("POST", f"{self.site.issuer}{path}", nonce=self.nonce)
        answer = self.client.http.post(f"{url}{path}", data=form, headers=headers)
        self.nonce = answer.headers.get("dpop-nonce", self.nonce)
        return answer

    def obtain(self) -> httpx.Response:
        """The answer of the token endpoint to the first request of the grant."""
        match self.combination.grant:
            case "machine":
                return self.post("/token", grant_type="client_credentials")
            case "id-jag":
                return self.post("/token", grant_type=JWT_BEARER, assertion=self._assertion())
            case "device":
                return self.post("/token", grant_type=DEVICE_CODE, device_code=self._device_code())
            case _:
                redeem = {"code": self._code(), "code_verifier": self.client.verifier}
                return self.post("/token", grant_type="authorization_code", **redeem)

    def refresh(self, refresh_token: str) -> httpx.Response:
        return self.post("/token", grant_type="refresh_token", refresh_token=refresh_token)

    def _assertion(self) -> str:
        issuer = self.site.issuer
        return PROVIDER.assertion(
            now=a_second_ahead(), scope="mcp", aud=issuer, resource=issuer, client_id=self.client.client_id
        )

    def _device_code(self) -> str:
        """Of a request that the person has allowed."""
        answer = self.post("/device_authorization", scope="mcp")
        assert answer.status_code == 200, answer.text
        allowed = Person(httpx.Client(), self.site.mints.url).allow(answer.json()["user_code"])
        assert allowed.status_code == 200, allowed.text
        return str(answer.json()["device_code"])

    def _code(self) -> str:
        if self.combination.grant != "pushed-code":
            return self.client.code()
        request = {
            "response_type": "code",
            "redirect_uri": self.client.redirect_uri,
            "code_challenge": self.client.challenge,
            "code_challenge_method": "S256",
        }
        pushed = self.post("/par", **request)
        assert pushed.status_code == 201, pushed.text
        named = {"client_id": self.client.client_id, "request_uri": pushed.json()["request_uri"]}
        url = f"{self.site.mints.url}/authorize?{urlencode(named)}"
        allowed = self.client.decide(url, self.client.http.get(url))
        assert allowed.status_code == 303, allowed.text
        return redirect_parameters(allowed)["code"]
