"""An MCP client as far as the demo needs one, and the browser of the person who uses it.

It knows the MCP server's URL and nothing else, as the clients in the field do; all other addresses it is told.
"""

import base64
import hashlib
import html
import re
import secrets
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from tokensvc.commands import CommandFailed

NAME = "Demo app"
_REDIRECT_URI = "http://127.0.0.1:33418/callback"
"""Nobody listens there: what the browser is sent to is read from the redirect."""
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')
_METADATA = re.compile(r'resource_metadata="([^"]+)"')


class Refused(CommandFailed):
    """The answer was no. The message is the error that it names (RFC 6749 §5.2), or its status."""


class App:
    """Every request has a connection of its own, so that each goes to the next replica."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._http = httpx.Client(trust_env=False, timeout=20, headers={"Connection": "close"})
        self._verifier = secrets.token_urlsafe(48)
        self._metadata: dict[str, Any] = {}
        self.client_id = ""
        self.access_token = ""
        self.refresh_token = ""

    def close(self) -> None:
        self._http.close()

    def discover(self) -> str:
        """From a 401 of the MCP server to the issuer (RFC 9728 §5), and to its endpoints (RFC 8414 §3)."""
        challenged = self._call("initialize", {})
        found = _METADATA.search(challenged.headers.get("www-authenticate", ""))
        if challenged.status_code != 401 or not found:
            raise CommandFailed(f"the MCP server answered {challenged.status_code} without a pointer to its metadata")
        issuer = str(self._get(found[1])["authorization_servers"][0])
        self._metadata = self._get(f"{issuer}/.well-known/oauth-authorization-server")
        return issuer

    def register(self) -> None:
        """RFC 7591 §3.1."""
        asked = {"client_name": NAME, "redirect_uris": [_REDIRECT_URI], "token_endpoint_auth_method": "none"}
        self.client_id = _accepted(self._http.post(self._metadata["registration_endpoint"], json=asked))["client_id"]

    def sign_in_page(self) -> tuple[str, httpx.Response]:
        """The page that the app opens in the person's browser: its URL, and what the browser got."""
        digest = hashlib.sha256(self._verifier.encode()).digest()
        parameters = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": _REDIRECT_URI,
            "resource": self._server,
            "state": secrets.token_urlsafe(16),
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        url = f"{self._metadata['authorization_endpoint']}?{urlencode(parameters)}"
        return url, self._http.get(url)

    def allow(self, url: str, page: httpx.Response, api_key: str) -> str:
        """Post the page's form as the browser does. The code, from the redirect that answers it."""
        form = {name: html.unescape(value) for name, value in _HIDDEN.findall(page.text)}
        answer = self._http.post(url, data=form | {"api_key": api_key, "decision": "allow"})
        redirect = urlsplit(str(answer.headers.get("location", "")))
        code = dict(parse_qsl(redirect.query)).get("code")
        if answer.status_code != 303 or not code:
            raise CommandFailed(f"the sign-in was answered {answer.status_code}, without a code")
        return code

    def redeem(self, code: str) -> None:
        grant = {"grant_type": "authorization_code", "code": code, "code_verifier": self._verifier}
        self._token(grant | {"redirect_uri": _REDIRECT_URI})

    def refresh(self) -> None:
        self._token({"grant_type": "refresh_token", "refresh_token": self.refresh_token})

    def give_back(self, token: str) -> None:
        """RFC 7009 §2.1."""
        form = {"client_id": self.client_id, "token": token}
        answer = self._http.post(self._metadata["revocation_endpoint"], data=form)
        if answer.status_code != 200:
            raise Refused(f"the revocation was answered {answer.status_code}: {answer.text}")

    def call_tool(self) -> str:
        """What the server's one tool says. Raises Refused where the server does not let the app in."""
        self._ask_server("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}})
        (tool,) = self._ask_server("tools/list", {})["tools"]
        result = self._ask_server("tools/call", {"name": tool["name"], "arguments": {}})
        return str(result["content"][0]["text"])

    def _ask_server(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """The result of a JSON-RPC request."""
        answer = self._call(method, parameters)
        if answer.status_code != 200:
            raise Refused(str(answer.status_code))
        result: dict[str, Any] = answer.json()["result"]
        return result

    def _call(self, method: str, parameters: dict[str, Any]) -> httpx.Response:
        """A JSON-RPC request to the MCP server."""
        headers = {"Accept": "application/json, text/event-stream"}
        if self.access_token:
            headers["Authorization"] = f"Bearer {self.access_token}"
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        return self._http.post(self._server, json=message, headers=headers)

    def _get(self, url: str) -> dict[str, Any]:
        return _accepted(self._http.get(url))

    def _token(self, grant: dict[str, str]) -> None:
        """Raises Refused."""
        form = grant | {"client_id": self.client_id}
        answer = _accepted(self._http.post(self._metadata["token_endpoint"], data=form))
        self.access_token, self.refresh_token = answer["access_token"], answer["refresh_token"]


def _accepted(response: httpx.Response) -> dict[str, Any]:
    """The object of an answer that says yes. Raises Refused."""
    answer: dict[str, Any] = response.json()
    if not response.is_success:
        raise Refused(str(answer.get("error", response.status_code)))
    return answer
