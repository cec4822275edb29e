"""`POST /admin/events`: the host product says what happened to a key or a person, and what that ended is marked.

An event may be told again, and has to be where the answer was 503: it ends what was authorized up to then once more.
It locks nobody out, since a key that still stands in TOKENSVC_API_KEYS signs in again.
"""

import re
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints.admin import end, guard_admin
from tokensvc.endpoints.http import read_json
from tokensvc.endpoints.service import service_of
from tokensvc.errors import InvalidRequest
from tokensvc.identity import credential_of, quote_part
from tokensvc.ledger.marks import Subject, parse_subject

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


async def event(request: Request) -> Response:
    """`{"event", …}` with the members that this event is about; answers as /admin/revoke does."""
    service = service_of(request)
    guard_admin(request, service)
    body = await read_json(request)
    return await end(_subject(body), service, service.clock())


def _subject(body: Any) -> Subject:
    """Raises InvalidRequest."""
    if not isinstance(body, dict) or not all(isinstance(member, str) for member in body.values()):
        raise InvalidRequest("the body is a JSON object of strings")
    kind = body.get("event")
    if kind not in _SUBJECTS:
        raise InvalidRequest(f"event is one of {', '.join(_SUBJECTS)}")
    try:
        return _SUBJECTS[kind](body)
    except KeyError as missing:
        raise InvalidRequest(f"{missing.args[0]} is missing") from None
    except ValueError as error:
        raise InvalidRequest(str(error)) from None


def _account(body: dict[str, str]) -> Subject:
    return parse_subject("account", quote_part(body["account"]))


def _user(body: dict[str, str]) -> Subject:
    return parse_subject("user", f"{quote_part(body['account'])}/{quote_part(body['user'])}")


def _credential(body: dict[str, str]) -> Subject:
    """Of a key by the SHA-256 that TOKENSVC_API_KEYS lists, or by the digest that `explain` and the log show."""
    if ("credential" in body) == ("key_sha256" in body):
        raise ValueError("the key is named by key_sha256 or by credential, by one of them")
    if "credential" in body:
        return parse_subject("credential", body["credential"])
    if not _SHA256.fullmatch(body["key_sha256"]):
        raise ValueError("key_sha256 is the SHA-256 of the whole key, in hex")
    return parse_subject("credential", credential_of(body["key_sha256"]))


_SUBJECTS: dict[str, Callable[[dict[str, str]], Subject]] = {
    "key_rotated": _credential,
    "role_changed": _user,
    "user_deleted": _user,
    "account_deleted": _account,
}
"""What each event ends."""
