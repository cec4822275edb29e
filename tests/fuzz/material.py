"""What good requests are made of: clients, codes and tokens of the replica that is under test."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from urllib.parse import parse_qsl

import httpx

from tests.device import Device, Person
from tests.grants.identity_provider import IdentityProvider, a_second_ahead
from tests.proofs import bound
from tests.replica import (
    ADMIN_TOKEN,
    API_KEY,
    INTROSPECTION_TOKEN,
    REDIRECT_URI,
    TLS,
    Client,
    hidden_inputs,
    redirect_parameters,
    ring_entry,
    tokens,
)
from tests.signer import Signer

MACHINE_SECRET = "secret-of-the-machine-of-the-fuzz-tests"
PROVIDER = IdentityProvider()
SIGNER = Signer("signer")


def settings() -> dict[str, str]:
    """What a replica needs to know of the machine and of the identity provider, by field name."""
    machine = {
        "client_id": "machine",
        "client_secret_hash": f"sha256:{hashlib.sha256(MACHINE_SECRET.encode()).hexdigest()}",
        "grant_types": ["client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer"],
        "identity": "acme/machine/robot",
    }
    signer = {"client_id": SIGNER.client_id, "redirect_uris": [REDIRECT_URI], "jwks": SIGNER.jwks}
    return {
        "device_authorization": "on",
        "signing_keys": ring_entry("s1"),
        "clients": json.dumps([machine, signer]),
        # Documents are on, and no request leads out of the machine.
        "cimd": "*.fuzz.invalid",
        "id_jag_issuers": json.dumps([PROVIDER.entry()]),
    }


class Material:
    """`values` by the names that requests use. `renew` what an answer has used up."""

    def __init__(self, url: str) -> None:
        self._public, self._confidential = Client(url), Client(url)
        self._devices = [Device(Client(url)) for _ in range(2)]
        self._public.register()
        self._confidential.register(token_endpoint_auth_method="client_secret_basic")
        name, secret = self._confidential.client_id, self._confidential.client_secret
        self.values = {
            "issuer": url,
            "client_id": self._public.client_id,
            "confidential client_id": name,
            "basic": f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}",
            "machine basic": f"Basic {base64.b64encode(f'machine:{MACHINE_SECRET}'.encode()).decode()}",
            "client secret": secret,
            "challenge": self._public.challenge,
            "verifier": self._public.verifier,
            "api_key": API_KEY,
            "introspection bearer": f"Bearer {INTROSPECTION_TOKEN}",
            "admin bearer": f"Bearer {ADMIN_TOKEN}",
        }
        for device in self._devices:
            device.register()
        self._bound = bound(self._public)
        self._bound.client_id = self._public.client_id
        self._open_page()
        self.renew()

    @property
    def secrets(self) -> set[str]:
        """What no log may hold."""
        names = (
            *("code", "access_token", "refresh_token", "confidential refresh_token"),
            *("request", "request_uri", "bound refresh_token", "client secret", "api_key", "verifier", "assertion"),
            *("client assertion", "signer's refresh_token"),
            *("device_code", "user_code", "device entry", "device page"),
        )
        return {ADMIN_TOKEN, INTROSPECTION_TOKEN, MACHINE_SECRET, *(self.values[name] for name in names)}

    def renew(self) -> None:
        """New tokens and a new code, after something was revoked or redeemed."""
        issued, others = self._public.sign_in(), self._confidential.sign_in()
        self.values |= {
            "access_token": issued.access,
            "refresh_token": issued.refresh,
            "confidential refresh_token": others.refresh,
            "bound refresh_token": self._bound.sign_in().refresh,
            "signer's refresh_token": self._sign_in_signer(),
            "family": self._public.introspect(issued.access).get("family", ""),
        }
        self.renew_code()

    def _sign_in_signer(self) -> str:
        client = Client(self._public.url, client_id=SIGNER.client_id)
        return tokens(client.redeem(client.code(), **SIGNER.parameters(client.url))).refresh

    def keep_fresh(self) -> None:
        """A code and a nonce live for a minute, a page for ten. An assertion counts once, and so does a proof."""
        self.values["assertion"] = PROVIDER.assertion(
            now=a_second_ahead(),
            aud=self._public.url,
            resource=self._public.url,
            client_id="machine",
            scope="mcp",
        )
        self.values["client assertion"] = SIGNER.assertion(self._public.url)
        if time.monotonic() > self._opened + 300:
            self._open_page()
        if time.monotonic() > self._allowed + 30:
            self.renew_code()
        prover, nonce = self._bound.prover, self._bound.nonce
        for path in ("/token", "/par"):
            self.values[f"proof for {path}"] = prover.proof("POST", f"{self._public.url}{path}", nonce=nonce)

    def renew_code(self) -> None:
        """A page is good for any number of decisions."""
        form = {"request": self.values["request"], "api_key": API_KEY, "decision": "allow"}
        cookie = {"Cookie": self.values["cookie"]}
        answer = httpx.post(f"{self._public.url}/authorize", data=form, headers=cookie, verify=TLS)
        assert answer.status_code == 303, answer.text
        self.values["code"] = redirect_parameters(answer)["code"]
        asked = dict(parse_qsl(self._public.authorize_url().partition("?")[2]))
        self._bound.push(**asked)  # For the nonce.
        self.values["request_uri"] = self._bound.push(**asked).json()["request_uri"]
        self._allowed = time.monotonic()

    def _open_page(self) -> None:
        _, page = self._public.page()
        self.values["request"] = hidden_inputs(page.text)["request"]
        self.values["cookie"] = page.headers.get_list("set-cookie")[-1].partition(";")[0]
        self._open_device_pages()
        self._opened = time.monotonic()

    def _open_device_pages(self) -> None:
        """One device waits for its code to be entered, another one for a decision."""
        waiting, entered = self._devices
        person = Person(httpx.Client(verify=TLS), self._public.url)
        waiting.ask()
        entered.ask()
        entry = person.open()
        self.values |= {
            "device client_id": waiting.client.client_id,
            "device_code": waiting.answer["device_code"],
            "user_code": waiting.user_code,
            "device cookie": entry.headers.get_list("set-cookie")[-1].partition(";")[0],
            "device entry": hidden_inputs(entry.text)["page"],
            "device page": hidden_inputs(person.enter(entered.user_code, entry).text)["page"],
        }
