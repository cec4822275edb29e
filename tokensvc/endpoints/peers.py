"""`POST /peers/exchange`: what one replica asks another, sealed under the ring. Mounted where there are peers."""

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints.http import NO_STORE, read_body
from tokensvc.endpoints.service import Service, address_of, service_of
from tokensvc.errors import InvalidRequest
from tokensvc.ledger.peers import PeeredLedger
from tokensvc.observability import warn
from tokensvc.protocol.peer import MEDIA_TYPE, read_question, write_answer
from tokensvc.tokens.artefact import Unsealable
from tokensvc.tokens.kinds import PeerQuestion


async def exchange(request: Request) -> Response:
    service = service_of(request)
    ledger = service.server.ledger
    assert isinstance(ledger, PeeredLedger)  # noqa: S101  # the route is mounted with it
    body = await read_body(request, PeerQuestion.longest)
    now = service.clock()
    question = _open(body, service, address_of(request), now)
    answer = await ledger.answer(read_question(question), now)
    sealed = service.server.sealer.seal(write_answer(answer), now)
    return Response(sealed, media_type=MEDIA_TYPE, headers=NO_STORE)


def _open(body: bytes, service: Service, address: str, now: int) -> PeerQuestion:
    """Raises InvalidRequest for whatever no replica of this ring has sealed, TooManyRequests where that goes on.

    What opens is never limited: others at the address of a peer must not be able to silence it.
    """
    try:
        return service.server.sealer.unseal(PeerQuestion, body.decode("ascii", "replace"), now)
    except Unsealable as error:
        service.attempts.check("peers", address)
        service.attempts.failed("peers", address)
        warn("peer refused", reason=str(error), address=address)
        raise InvalidRequest("the question does not open") from None
