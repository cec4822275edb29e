"""Who the peers are, and what stands in a message between them."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.tokens.examples import NOW
from tokensvc.errors import SettingsError
from tokensvc.ledger import algebra, marks
from tokensvc.ledger.algebra import Continuity, Family, Offer, State
from tokensvc.ledger.marks import Mark
from tokensvc.ledger.memory import MemoryLedger
from tokensvc.ledger.messages import PAGE, Answer, Question
from tokensvc.protocol.peer import Directory, read_answer, read_question, write_answer, write_question
from tokensvc.tokens.artefact import Unsealable
from tokensvc.tokens.kinds import PeerAnswer, PeerQuestion

ISSUER = "https://auth.example.com"
STATE = State(
    marks={marks.EVERYTHING: Mark(1, 2), marks.user("a/b", "ünï:çødé\n"): Mark(3, 4)},
    families={"fam": Family(3, 9, 1, ((1, 5), (2, 6)), "x"), "bare": Family(1, 2)},
    spent={"jti": 7},
    offers={"ABC": Offer("request", 8, "yes"), "DEF": Offer("request", 8)},
)


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("", []),
        ("http://10.0.0.1:8000", ["http://10.0.0.1:8000"]),
        (" http://a:1/ ,\thttps://b , http://a:1", ["http://a:1", "https://b"]),
        ("http://[::1]:8000", ["http://[::1]:8000"]),
        ("http://a/other", ["http://a/other"]),
        ("dns://tokensvc:8000", ["dns://tokensvc:8000"]),
    ],
)
def test_peers_are_base_urls_and_names(text: str, urls: list[str]) -> None:
    assert [*Directory.parse(text, ISSUER).urls] == urls


def test_url_without_a_path_gets_the_issuers() -> None:
    directory = Directory.parse("http://a:1,http://b:2/,http://c:3/own", f"{ISSUER}/auth")
    assert [*directory.urls] == ["http://a:1/auth", "http://b:2/auth", "http://c:3/own"]


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1:8000",
        "tokensvc",
        "ftp://a",
        "http://",
        "http://a?b",
        "http://a#b",
        "http://user@a",
        "http://a:port",
        "http://[::1",
        "dns://a",
        "dns://a:1/path",
        "dns://:1",
        "redis://a:1",
        f"dns://{'a' * 64}:1",
        "http://a..b",
    ],
)
def test_what_is_no_address_of_a_peer_is_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(SettingsError, match=r"TOKENSVC_PEERS has an entry .*dns://NAME:PORT"):
        Directory.parse(f"http://good,{text}", ISSUER)


def test_name_is_every_address_that_it_has_by_now(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = ["10.0.0.1", "10.0.0.2"]

    def resolve(host: str, port: int, *_arguments: object, **_options: object) -> list[object]:
        assert (host, port) == ("tokensvc", 8000)
        if not addresses:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return [(socket.AF_INET, 0, 0, "", (address, port)) for address in addresses * 2]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    directory = Directory.parse("http://10.0.0.1:8000/x,dns://tokensvc:8000", f"{ISSUER}/x")
    found = ["http://10.0.0.1:8000/x", "http://10.0.0.2:8000/x"]
    assert [*asyncio.run(directory.look())] == found
    addresses[:] = ["10.0.0.3"]
    assert [*asyncio.run(directory.look())] == [found[0], "http://10.0.0.3:8000/x"]
    addresses.clear()
    assert [*asyncio.run(directory.look())] == [found[0], "http://10.0.0.3:8000/x"], "what it had is the best guess"


@pytest.mark.parametrize(
    ("addresses", "urls"),
    [
        (["::1", "10.0.0.1", "::2", "10.0.0.2"], ["http://10.0.0.1:8000", "http://10.0.0.2:8000"]),
        (["::2", "::1"], ["http://[::1]:8000", "http://[::2]:8000"]),
    ],
    ids=["both", "IPv6 alone"],
)
def test_replica_with_addresses_of_both_families_counts_once(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], urls: list[str]
) -> None:
    def resolve(_host: str, port: int, *_arguments: object, **_options: object) -> list[object]:
        families = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(families[":" in address], 0, 0, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert [*asyncio.run(Directory.parse("dns://tokensvc:8000", ISSUER).look())] == urls


def test_name_that_cannot_even_be_asked_for_is_one_that_is_not_found() -> None:
    directory = Directory([], [("a" * 64, 1)], "")
    assert [*asyncio.run(directory.look())] == [f"dns://{'a' * 64}:1"]


@pytest.mark.parametrize("name", ["n", '"'], ids=["plain", "escaped"])
def test_fullest_page_is_within_what_a_peer_reads(name: str) -> None:
    """With names of 128 bytes, which JSON may double, and with entries that are as long as their weight allows."""
    recent = tuple((9_000_000 + number, NOW) for number in range(7))
    pages = {
        "marks": State(marks={("user", name * 118, f"{number:05}"): Mark(NOW, NOW) for number in range(PAGE)}),
        "long marks": State(
            marks={
                ("user-client", name * 128, f"{number:05}".rjust(128, name), "c" * 22): Mark(NOW, NOW)
                for number in range(PAGE // 3)
            }
        ),
        "families": State(families={f"{number:016}": Family(9, NOW, 9, recent, "x" * 22) for number in range(1066)}),
        "spent": State(spent={f"{number:043}": NOW for number in range(PAGE)}),
        "offers": State(offers={f"{number:08}": Offer("r" * 124, NOW, "yes") for number in range(1_000)}),
        "decisions": State(offers={f"{number:016}": Offer("", NOW, "d" * 127) for number in range(1_000)}),
    }
    for what, page in pages.items():
        assert PAGE // 2 <= algebra.weight(page) <= PAGE, what
        size = len(write_question(Question("n" * 22, "r" * 16, NOW, page)).to_claims()) * 4 // 3
        assert size < PeerQuestion.longest * 0.9, (what, size)


@example([(2_000, 0, 700)])
@given(st.lists(st.tuples(st.integers(1, 2_500), st.integers(0, 1_500), st.integers(0, 1_500)), min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_page_of_offers_and_decisions_of_any_length_can_be_opened(groups: list[tuple[int, int, int]]) -> None:
    """However many of them there are, with requests and decisions so long: what a ledger tells is what a peer reads."""
    ledger = MemoryLedger(NOW)
    offers = {
        f"{group:08}{number:08}": Offer("r" * request, NOW + 1, "d" * decision)
        for group, (count, request, decision) in enumerate(groups)
        for number in range(count)
    }
    asyncio.run(ledger.merge(State(offers=offers), NOW))
    page = asyncio.run(ledger.changes("", PAGE, NOW))
    answer = Answer("n" * 22, "r" * 16, NOW, "v", caught_up=True, news=page.state, cursor=page.cursor, more=page.more)
    assert page.state.offers
    assert len(write_answer(answer).to_claims()) * 4 // 3 < PeerAnswer.longest * 0.9


def test_name_that_was_never_resolved_stands_for_a_peer_that_is_not_heard() -> None:
    directory = Directory.parse("dns://no-such-name.invalid:1", ISSUER)
    assert [*asyncio.run(directory.look())] == ["dns://no-such-name.invalid:1"]


@pytest.mark.parametrize("news", [None, State(), STATE], ids=["none", "empty", "all"])
@pytest.mark.parametrize("cursor", [None, "", "epoch.1"])
def test_question_comes_as_it_was_asked(news: State | None, cursor: str | None) -> None:
    question = Question("nonce", "replica", 123, news, cursor)
    assert read_question(PeerQuestion.from_claims(write_question(question).to_claims())) == question


@pytest.mark.parametrize("continuity", [None, Continuity(0, 5)])
@pytest.mark.parametrize("flag", [True, False])
def test_answer_comes_as_it_was_given(continuity: Continuity | None, flag: bool) -> None:
    news = State(STATE.marks, STATE.families, STATE.spent, STATE.offers, continuity)
    answer = Answer(
        "nonce", "replica", 123, "1.0", flag, settled=flag, accepted=flag, news=news, cursor="epoch.1", more=flag
    )
    assert read_answer(PeerAnswer.from_claims(write_answer(answer).to_claims())) == answer


def test_what_a_later_release_adds_is_ignored() -> None:
    claims = (
        b'{"n":"a","r":"b","t":1,"new":[1],"f":[{"n":"fam","h":1,"e":2,"new":3}],"m":[{"s":["new","x"],"t":1,"e":2}]}'
    )
    question = read_question(PeerQuestion.from_claims(claims.replace(b'"t":1,"new"', b'"t":1,"w":true,"new"')))
    assert question.news == State(marks={("new", "x"): Mark(1, 2)}, families={"fam": Family(1, 2)})


@pytest.mark.parametrize("claims", [b"{}", b"[]", b"", b'{"n":1,"r":"b","t":1}', b'{"n":"a","r":"b","t":1,"m":[{}]}'])
def test_claims_of_no_message_are_not_legible(claims: bytes) -> None:
    with pytest.raises(Unsealable):
        PeerQuestion.from_claims(claims)
