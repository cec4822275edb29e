"""`POST /peers/exchange`: what one replica asks another, sealed under the ring. Mounted where there are peers.

Anyone may send bytes here, and a body is opened once all of it is there. So no more is read from everyone than
elsewhere. That holds every question for news, and every mark that is told; what is longer is a page of other news,
whose rest is read with care, and which a peer finds for itself when it is refused.
"""

import asyncio
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints.http import LONGEST_BODY, NO_STORE, check_declared, read_part
from tokensvc.endpoints.service import Service, address_of, service_of
from tokensvc.errors import InvalidRequest, RequestTooLarge, TemporarilyUnavailable
from tokensvc.ledger.messages import Question
from tokensvc.ledger.peers import PeeredLedger
from tokensvc.observability import warn
from tokensvc.protocol.peer import MEDIA_TYPE, SECONDS, read_question, write_answer
from tokensvc.tokens.artefact import Unsealable
from tokensvc.tokens.kinds import PeerQuestion

MAX_AGE = 5 * 60_000
"""How far the clock of a question may be from this one's for it to be news, in milliseconds."""
FEW = 20
"""How much another gets, in algebra.weight: about 3 kB."""
MOST_LONG_BODIES = 32
_long_bodies = asyncio.Semaphore(MOST_LONG_BODIES)


async def exchange(request: Request) -> Response:
    service = service_of(request)
    ledger = service.server.ledger
    assert isinstance(ledger, PeeredLedger)  # noqa: S101  # the route is mounted with it
    address = address_of(request)
    body = await _read(request, service, address)
    now = service.clock()
    question = read_question(_open(body, service, address, now))
    if abs(question.clock - now) > MAX_AGE:
        question = _of_another_time(question, ledger.epoch)
    answer = await ledger.answer(question, now)
    sealed = service.server.sealer.seal(write_answer(answer), now)
    return Response(sealed, media_type=MEDIA_TYPE, headers=NO_STORE)


def _of_another_time(question: Question, epoch: str) -> Question:
    """One that is played back, which must cost little; or a replica's whose clock is off, which has to find that out.

    It brings no news, and as one of this replica's own it wakes nobody. It gets few at a time, and is told that there
    are more: an answer that left them out would count as all there is.
    """
    return replace(question, replica=epoch, news=None, limit=min(question.limit, FEW))


async def _read(request: Request, service: Service, address: str) -> bytes:
    """The body. Raises RequestTooLarge, InvalidRequest, TooManyRequests, and TemporarilyUnavailable."""
    check_declared(request, PeerQuestion.longest)
    body, more = await read_part(request, LONGEST_BODY)
    if more:
        service.attempts.check("peers", address)
        try:
            service.server.sealer.check_start(PeerQuestion, body.decode("ascii", "replace"), service.clock())
        except Unsealable as error:
            raise _refused(service, address, str(error)) from None
        body += await _read_rest(request, service, address, PeerQuestion.longest + 1 - len(body))
    if len(body) > PeerQuestion.longest:
        raise RequestTooLarge("the body is too large")
    return body


async def _read_rest(request: Request, service: Service, address: str, enough: int) -> bytes:
    """Nobody waits for a turn, and none is kept for longer than whoever asks would wait for the answer."""
    if _long_bodies.locked():
        raise TemporarilyUnavailable("too many are telling news at once", reason="peers: too many long questions")
    try:
        async with _long_bodies, asyncio.timeout(SECONDS):
            rest, _ = await read_part(request, enough)
    except TimeoutError:
        raise _refused(service, address, "it did not come in time") from None
    return rest


def _open(body: bytes, service: Service, address: str, now: int) -> PeerQuestion:
    """Raises InvalidRequest for whatever no replica of this ring has sealed, TooManyRequests where that goes on.

    What opens is never limited: others at the address of a peer must not be able to silence it.
    """
    try:
        return service.server.sealer.unseal(PeerQuestion, body.decode("ascii", "replace"), now)
    except Unsealable as error:
        service.attempts.check("peers", address)
        raise _refused(service, address, str(error)) from None


def _refused(service: Service, address: str, reason: str) -> InvalidRequest:
    service.attempts.failed("peers", address)
    warn("peer refused", reason=reason, address=address)
    return InvalidRequest("the question does not open")
