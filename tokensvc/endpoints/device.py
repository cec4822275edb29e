"""`GET, POST /device`: where a person enters the code that a device shows, and decides (RFC 8628 §3.3).

Both forms carry the page sealed, bound to the browser by a cookie as at /authorize. GET looks nothing up and decides
nothing, whatever stands in the link: a code is tried by a click, and counted where it is wrong.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints import cookies
from tokensvc.endpoints.attempts import network_of
from tokensvc.endpoints.device_pages import Form, code_page, consent_page, result_page
from tokensvc.endpoints.http import Parameters
from tokensvc.endpoints.person import (
    Refused,
    attempt,
    check_resource,
    open_page,
    read_page_form,
    sign_in,
    unavailable_page,
)
from tokensvc.endpoints.service import Service, address_of, service_of
from tokensvc.errors import AccessDenied, OAuthError, TemporarilyUnavailable
from tokensvc.grants.device_authorization import LIFETIME, approve, deny, find, open_request
from tokensvc.ledger import Decided
from tokensvc.observability import log, warn
from tokensvc.protocol import user_code
from tokensvc.tokens.kinds import DevicePage, DeviceRequest, digest

_AGAIN = "Start again on the device, which then shows a new code."
_UNKNOWN = (
    "This code is not valid: it may be mistyped, used, or older than ten minutes. "
    "Check the code that the device shows, and open the whole address that it shows."
)
_USED = "It was allowed or denied before, or the device took too long. Nothing was allowed by you."


async def device(request: Request) -> Response:
    try:
        return await (_take(request) if request.method == "POST" else _show(request))
    except Refused as refused:
        warn("authorization refused", reason=refused.reason, by="device")
        return refused.page(_AGAIN)
    except TemporarilyUnavailable as error:
        return unavailable_page(error, _AGAIN)


async def _show(request: Request) -> Response:
    """The form for the code, with the code of the link in it, and the request where the link carries that."""
    service = service_of(request)
    now = service.clock()
    try:
        parameters = Parameters.parse(request.scope["query_string"]).check()
    except OAuthError as error:
        raise Refused(400, "This link is damaged", "It cannot be read.") from error
    sealed = parameters.get("request", "")
    if sealed and open_request(sealed, service.server, now) is None:
        raise Refused(400, "This link is no longer valid", "It is older than ten minutes, or damaged.")
    name, value = cookies.new(now)
    page = DevicePage(name=name, browser=digest(value, 16), exp=now + LIFETIME)
    shown = code_page(_form(page, service, now), user_code=_read(parameters.get("user_code", "")), request=sealed)
    cookies.put(request, shown, name, value, LIFETIME // 1000)
    return shown


async def _take(request: Request) -> Response:
    """Take the code, or the decision, of the person who saw the page."""
    service = service_of(request)
    form = await read_page_form(request)
    now = service.clock()
    # A replica that still catches up knows no code, and nobody is to be told that theirs is wrong.
    await service.server.ledger.ready(now)
    page = open_page(request, DevicePage, form.get("page", ""), service, now, hint=_AGAIN)
    if page.request is None:
        return await _find(request, form, page, service, now)
    check_resource(page.request.resource, service)
    try:
        return await _decide(request, form, page, page.request, service, now)
    except Decided as decided:
        raise Refused(400, "This code is used or expired", _USED, reason=f"decided: {page.request.family}") from decided


async def _find(request: Request, form: Mapping[str, str], page: DevicePage, service: Service, now: int) -> Response:
    """The page to decide on, for who entered the right code."""
    code, sealed = _read(form.get("user_code", "")), form.get("request", "")
    look_up = partial(_look_up, code, sealed, service, now)
    # What can be no code is no guess.
    asked = await attempt(request, service, "user code", look_up) if code else None
    if asked is None:
        if code:
            warn("user code refused", reason="unknown, expired or used", address=address_of(request))
        return code_page(_form(page, service, now), user_code=code, request=sealed, status=400, problem=_UNKNOWN)
    return _consent(replace(page, request=asked, exp=min(page.exp, asked.exp)), asked, service, now)


async def _look_up(code: str, sealed: str, service: Service, now: int) -> DeviceRequest | None:
    """What is asked for under a code, by the ledger or by the request that came along."""
    asked = open_request(sealed, service.server, now) if sealed else await find(code, service.server, now)
    return asked if asked and asked.user_code == code else None


async def _decide(
    request: Request, form: Mapping[str, str], page: DevicePage, asked: DeviceRequest, service: Service, now: int
) -> Response:
    """Raises Decided."""
    server = service.server
    decision = form.get("decision")
    if decision == "deny":
        await deny(asked, network_of(address_of(request)), server, service.replica.devices, now)
        log("authorization denied", client=asked.client, family=asked.family, by="device")
        return result_page(server.issuer, "Denied", "Nothing was allowed. The device gets no access.")
    if decision != "allow":
        raise Refused(400, "That was not a decision", "The page was sent without Allow or Deny.")
    signed_in = await sign_in(request, form.get("api_key", ""), asked.client, service, now)
    if isinstance(signed_in, str):
        return _consent(page, asked, service, now, status=401, problem=signed_in)
    try:
        approval = await approve(asked, signed_in, server, now)
    except AccessDenied as error:
        warn("authorization refused", reason=error.reason, client=asked.client, by="device")
        problem = "Your role may have none of these permissions."
        return _consent(page, asked, service, now, status=403, problem=problem)
    log(
        "authorization granted",
        client=asked.client,
        family=asked.family,
        credential=approval.credential,
        by="device",
    )
    return result_page(server.issuer, "Allowed", "Go back to the device: it goes on by itself within a few seconds.")


def _consent(
    page: DevicePage, asked: DeviceRequest, service: Service, now: int, *, status: int = 200, problem: str = ""
) -> Response:
    resource = service.server.resources.sealed(asked.resource)
    identifier = resource.identifier if resource else ""
    return consent_page(_form(page, service, now), asked, identifier, status=status, problem=problem)


def _form(page: DevicePage, service: Service, now: int) -> Form:
    return Form(service.server.sealer.seal(page, now), service.server.issuer)


def _read(entry: str) -> str:
    """The code that was meant, empty where it can be none."""
    try:
        return user_code.read(entry)
    except ValueError:
        return ""
