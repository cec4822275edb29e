"""One client's way: it discovers, registers, asks for authorization without signing in, and sends a code of no one.

Nothing here judges. What was met is kept for the checks.
"""

import base64
import hashlib
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from tokensvc.commands.probe.clients import KnownClient
from tokensvc.commands.probe.courier import Answer, Courier
from tokensvc.commands.probe.discovery import Discovery, Target, discover
from tokensvc.commands.probe.visit import Asked, Visit, strings

_STRANGER = "tokensvc-probe-unknown"
"""A client_id that no server knows."""
_NO_RESPONSE_TYPE = "tokensvc_probe"
"""A response_type that no server has, to be sent back with an error (RFC 6749 §4.1.2.1)."""
_NOWHERE = "http://127.0.0.1:33418/"
_VERIFIER = "tokensvc-probe-verifier-that-belongs-to-no-code-at-all"
_CODE = "tokensvc-probe-code-that-nobody-issued"
_CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(_VERIFIER.encode()).digest()).decode().rstrip("=")


async def visit(client: KnownClient, target: Target, courier: Courier, *, register: bool) -> Visit:
    return await _Visitor(client, target, await discover(client, target, courier), courier).visit(register)


@dataclass(frozen=True, slots=True)
class _Visitor:
    client: KnownClient
    target: Target
    discovery: Discovery
    courier: Courier

    async def visit(self, register: bool) -> Visit:
        by_document = self._has_document()
        registration = await self._register() if register and not by_document else None
        client_id, secret = self._credentials(registration, by_document)
        asked = await self._ask(client_id, by_document) if client_id else ()
        return Visit(
            client=self.client,
            target=self.target,
            discovery=self.discovery,
            registration=registration,
            client_id=client_id,
            by_document=by_document,
            asked=asked,
            relieved=await self._relieved(client_id, asked),
            refused=await self._refused(client_id, asked),
            token=await self._redeem(client_id, asked[0].redirect_uri, secret, self._method(registration))
            if asked
            else None,
            stranger_page=await self._stranger_page(),
            stranger_token=await self._redeem(_STRANGER, _NOWHERE),
            preflight=await self._preflight(),
        )

    def _endpoint(self, name: str) -> str:
        """One that the metadata names; empty where it does not."""
        value = self.discovery.metadata.get(f"{name}_endpoint")
        return value if isinstance(value, str) else ""

    def _has_document(self) -> bool:
        """Whether this client would come with its metadata document here."""
        document, metadata = self.client.document, self.discovery.metadata
        if document is None or metadata.get("client_id_metadata_document_supported") is not True:
            return False
        if document.needs_none and "none" not in strings(metadata, "token_endpoint_auth_methods_supported"):
            return False
        return not document.needs_iss or metadata.get("authorization_response_iss_parameter_supported") is True

    async def _register(self) -> Answer | None:
        """RFC 7591 §3.1."""
        if not (url := self._endpoint("registration")):
            return None
        scope = {"scope": self._scope} if self.client.registers_scope and self._scope else {}
        return await self.courier.post_json(url, self.client.registration | scope, self._origin)

    def _credentials(self, registration: Answer | None, by_document: bool) -> tuple[str, str]:
        if by_document and self.client.document:
            return self.client.document.url, ""
        granted = (registration.document or {}) if registration and registration.ok else {}
        client_id, secret = (granted.get(name) for name in ("client_id", "client_secret"))
        return client_id if isinstance(client_id, str) else "", secret if isinstance(secret, str) else ""

    def _method(self, registration: Answer | None) -> str:
        """How the client has to authenticate: as it was granted (RFC 7591 §3.2.1)."""
        granted = (registration.document or {}).get("token_endpoint_auth_method") if registration else "none"
        return granted if isinstance(granted, str) else self.client.method

    async def _ask(self, client_id: str, by_document: bool) -> tuple[Asked, ...]:
        """For each redirect URI, until one is refused: the first in the way is enough."""
        document = self.client.document
        redirect_uris = document.redirect_uris if by_document and document else self.client.redirect_uris
        asked: list[Asked] = []
        for redirect_uri in redirect_uris if self._endpoint("authorization") else ():
            asked.append(await self._authorize(client_id, redirect_uri))
            if asked[-1].error:
                break
        return tuple(asked)

    async def _authorize(self, client_id: str, redirect_uri: str, **changes: str) -> Asked:
        """RFC 6749 §4.1.1 with PKCE and RFC 8707; an empty change leaves a parameter out."""
        parameters = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "state": self.client.state,
            "scope": self._scope,
            "resource": self._resource,
            "code_challenge": _CHALLENGE,
            "code_challenge_method": "S256",
        } | changes
        endpoint = self._endpoint("authorization")
        query = urlencode({name: value for name, value in parameters.items() if value})
        url = f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"
        # As a browser, in which the person would see it.
        return Asked(redirect_uri, url, await self.courier.get(url, {"Accept": "text/html"}))

    async def _relieved(self, client_id: str, asked: tuple[Asked, ...]) -> tuple[str, ...]:
        if not asked or not asked[-1].error:
            return ()
        plain = {"state": "plain", "scope": "", "resource": ""}
        sent = {"state": self.client.state, "scope": self._scope, "resource": self._resource}
        relieved = []
        for name, value in plain.items():
            if sent[name]:
                again = await self._authorize(client_id, asked[-1].redirect_uri, **{name: value})
                relieved += [] if again.error else [name]
        return tuple(relieved)

    async def _refused(self, client_id: str, asked: tuple[Asked, ...]) -> Asked | None:
        good = next((one for one in asked if not one.error), None)
        return await self._authorize(client_id, good.redirect_uri, response_type=_NO_RESPONSE_TYPE) if good else None

    async def _redeem(self, client_id: str, redirect_uri: str, secret: str = "", method: str = "none") -> Answer | None:
        """RFC 6749 §4.1.3 with a code that nobody issued."""
        if not (url := self._endpoint("token")):
            return None
        form = {
            "grant_type": "authorization_code",
            "code": _CODE,
            "code_verifier": _VERIFIER,
            "redirect_uri": redirect_uri,
            "resource": self._resource,
        }
        if method == "client_secret_basic":
            pair = base64.b64encode(f"{quote(client_id, safe='')}:{quote(secret, safe='')}".encode()).decode()
            headers = {"Authorization": f"Basic {pair}"}
        else:
            headers = {}
            form |= {"client_id": client_id, "client_secret": secret}
        filled = {name: value for name, value in form.items() if value}
        return await self.courier.post_form(url, filled, headers | self._origin)

    async def _stranger_page(self) -> Answer | None:
        if not self._endpoint("authorization"):
            return None
        return (await self._authorize(_STRANGER, _NOWHERE, scope="", state="plain")).answer

    async def _preflight(self) -> Answer | None:
        """What a browser asks before it lets a page send JSON (the Fetch standard, CORS-preflight fetch)."""
        url = self._endpoint("registration")
        if not self.client.origin or not url:
            return None
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        return await self.courier.options(url, self._origin | asked)

    @property
    def _origin(self) -> dict[str, str]:
        return {"Origin": self.client.origin} if self.client.origin else {}

    @property
    def _scope(self) -> str:
        """The client's own; else what the challenge names, else the resource's (MCP, scope selection)."""
        offered = " ".join(strings(self.discovery.resource, "scopes_supported"))
        chosen = self.client.scope or self.target.challenged("scope") or offered
        offline = "offline_access" in strings(self.discovery.metadata, "scopes_supported")
        adds = chosen and offline and not self.client.scope and "offline_access" not in chosen.split()
        return f"{chosen} offline_access" if adds else chosen

    @property
    def _resource(self) -> str:
        """RFC 8707: what the resource metadata says, else the address itself; beside an issuer there is none."""
        if self.target.challenge is None:
            return ""
        named = self.discovery.resource.get("resource")
        # A query may hold a key of the server's own.
        return named if isinstance(named, str) else self.target.url.partition("?")[0]
