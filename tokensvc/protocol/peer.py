"""How replicas reach one another: who the peers are (TOKENSVC_PEERS), and questions and answers sealed under the ring.

A question is a POST of one JWE, and so is its answer. Nothing else proves who asks: only a replica has the ring. The
answer carries the question's nonce, so none can be played back; a question may be, and changes nothing a second time.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import httpx

from tokensvc.errors import SettingsError
from tokensvc.ledger.algebra import Continuity, Family, Offer, State
from tokensvc.ledger.marks import Mark
from tokensvc.ledger.messages import Answer, Question, Unheard
from tokensvc.tokens.artefact import Unsealable
from tokensvc.tokens.kinds import (
    FamilyNews,
    MarkNews,
    OfferNews,
    PeerAnswer,
    PeerMessage,
    PeerQuestion,
    SpentNews,
)
from tokensvc.tokens.sealer import Sealer

PEERS = "TOKENSVC_PEERS"
PATH = "/peers/exchange"
MEDIA_TYPE = "application/jose"
"""RFC 7515 §9.2.1."""
SECONDS = 2.0
"""How long a peer may take to answer."""
_FORM = "List base URLs of replicas, or dns://NAME:PORT, separated by commas"


class Post:
    """The way to other replicas. `sealer` gives the one in force: the rings may be read again."""

    def __init__(self, sealer: Callable[[], Sealer], clock: Callable[[], int]) -> None:
        self._sealer = sealer
        self._clock = clock
        # No proxy and no redirect: a peer is where the setting says. Idle connections end before the peer ends them.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=3)
        self._http = httpx.AsyncClient(
            verify=ssl.create_default_context(), timeout=SECONDS, limits=limits, follow_redirects=False, trust_env=False
        )

    async def ask(self, url: str, question: Question) -> Answer:
        """Raises Unheard."""
        sealed = self._sealer().seal(write_question(question), self._clock())
        try:
            async with asyncio.timeout(SECONDS):
                body = await self._post(f"{url}{PATH}", sealed)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            raise Unheard(f"{type(error).__name__}: {error}".rstrip(": ")) from None
        try:
            answer = self._sealer().unseal(PeerAnswer, body, self._clock())
        except Unsealable as error:
            raise Unheard(f"its answer does not open: {error}") from None
        if answer.nonce != question.nonce:
            raise Unheard("its answer is to another question")
        return read_answer(answer)

    async def close(self) -> None:
        await self._http.aclose()

    async def _post(self, url: str, sealed: str) -> str:
        headers = {"Content-Type": MEDIA_TYPE}
        async with self._http.stream("POST", url, content=sealed, headers=headers) as response:
            if response.status_code != 200:
                raise Unheard(f"it answered {response.status_code}")
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > PeerAnswer.longest:
                    raise Unheard("its answer is too long")
        return body.decode("ascii", "replace")


class Directory:
    """The peers of TOKENSVC_PEERS: base URLs as they stand, and names that are resolved at every look."""

    def __init__(self, fixed: Sequence[str], names: Sequence[tuple[str, int]], path: str) -> None:
        self._fixed = tuple(fixed)
        self._path = path
        self._found: dict[tuple[str, int], tuple[str, ...]] = {
            (name, port): (f"dns://{name}:{port}",) for name, port in names
        }

    @classmethod
    def parse(cls, text: str, issuer: str) -> "Directory":
        """Read `URL or dns://NAME:PORT, …`. A URL without a path gets the issuer's. Raises SettingsError."""
        path = urlsplit(issuer).path
        fixed, names = [], []
        for entry in filter(None, (entry.strip() for entry in text.split(","))):
            try:
                parts = urlsplit(entry)
                port = parts.port
                # Whoever resolves it does the same, and fails for a label that is empty or over 63 characters.
                (parts.hostname or "").encode("idna")
            except ValueError:
                raise SettingsError(PEERS, "has an entry that is no URL", _FORM) from None
            if not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
                raise SettingsError(PEERS, "has an entry with a query, a fragment or a user name, or no host", _FORM)
            if parts.scheme == "dns" and port and not parts.path:
                names.append((parts.hostname, port))
            elif parts.scheme in {"http", "https"}:
                fixed.append(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or path}")
            else:
                raise SettingsError(PEERS, "has an entry that is neither http, https nor dns://NAME:PORT", _FORM)
        return cls(fixed, names, path)

    @property
    def urls(self) -> Sequence[str]:
        found = (url for urls in self._found.values() for url in urls)
        return tuple(dict.fromkeys((*self._fixed, *found)))

    async def look(self) -> Sequence[str]:
        """A name that cannot be resolved now keeps the addresses that it had.

        Addresses stand for replicas, and who has two of them must not count twice: IPv4 alone where there is any.
        """
        for name, port in self._found:
            try:
                found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError):
                continue
            families = {family for family, *_ in found}
            counted = socket.AF_INET if socket.AF_INET in families else socket.AF_INET6
            hosts = sorted({str(address[0]) for family, *_, address in found if family == counted})
            if hosts:
                self._found[name, port] = tuple(f"http://{_bracketed(host)}:{port}{self._path}" for host in hosts)
        return self.urls


def write_question(question: Question) -> PeerQuestion:
    news = question.news or State()
    return PeerQuestion(
        question.nonce,
        question.replica,
        question.clock,
        *_write_state(news),
        told=question.news is not None,
        cursor=question.cursor,
        limit=question.limit,
    )


def read_question(question: PeerQuestion) -> Question:
    news = _read_state(question) if question.told else None
    return Question(question.nonce, question.replica, question.clock, news, question.cursor, question.limit)


def write_answer(answer: Answer) -> PeerAnswer:
    since = answer.news.continuity
    return PeerAnswer(
        answer.nonce,
        answer.replica,
        answer.clock,
        *_write_state(answer.news),
        version=answer.version,
        caught_up=answer.caught_up,
        settled=answer.settled,
        accepted=answer.accepted,
        cursor=answer.cursor,
        more=answer.more,
        continuity=(since.spent_since, since.marks_since) if since else (),
    )


def read_answer(answer: PeerAnswer) -> Answer:
    since = Continuity(*answer.continuity[:2]) if len(answer.continuity) >= 2 else None
    return Answer(
        answer.nonce,
        answer.replica,
        answer.clock,
        answer.version,
        answer.caught_up,
        answer.settled,
        answer.accepted,
        _read_state(answer, since),
        answer.cursor,
        answer.more,
    )


def _write_state(
    state: State,
) -> tuple[tuple[MarkNews, ...], tuple[FamilyNews, ...], tuple[SpentNews, ...], tuple[OfferNews, ...]]:
    return (
        tuple(MarkNews(subject, *mark) for subject, mark in state.marks.items()),
        tuple(
            FamilyNews(name, entry.head, entry.expires, entry.floor, entry.recent, entry.redemption)
            for name, entry in state.families.items()
        ),
        tuple(SpentNews(use, expires) for use, expires in state.spent.items()),
        tuple(OfferNews(code, offer.request, offer.expires, offer.decision) for code, offer in state.offers.items()),
    )


def _read_state(message: PeerMessage, continuity: Continuity | None = None) -> State:
    return State(
        marks={news.subject: Mark(news.not_before, news.expires) for news in message.marks},
        families={
            news.name: Family(news.head, news.expires, news.floor, news.recent, news.redemption)
            for news in message.families
        },
        spent={news.use: news.expires for news in message.spent},
        offers={news.code: Offer(news.request, news.expires, news.decision) for news in message.offers},
        continuity=continuity,
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
