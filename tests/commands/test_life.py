"""How a replica ends, and how its workers follow one another: nobody who asked in time goes without an answer."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from tests.flows.wire import HeldRequest, Post, connect, read_answer
from tests.ports import free_port
from tests.replica import INTROSPECTION_TOKEN, SECONDS, Client, Replica, changed, settings, wait_for
from tokensvc.commands import CommandFailed, workers
from tokensvc.commands.workers import Workers

BEARER = {"Authorization": f"Bearer {INTROSPECTION_TOKEN}"}

Begin = Callable[..., Replica]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start a replica that is gone when the test ends, however it ended."""
    begun: list[Replica] = []

    def one(*, workers: int = 1, drain: int = 0) -> Replica:
        port = free_port()
        replica = Replica(settings("sqlite:///ledger.db", port), port, workers, tmp_path, drain)
        begun.append(replica.start())
        return replica

    yield one
    for replica in begun:
        replica.kill()


def introspect(replica: Replica) -> httpx.Response:
    """On a connection of its own, which would be kept."""
    return httpx.post(f"{replica.url}/introspect", data={"token": "x"}, headers=BEARER, timeout=SECONDS)


def listens(replica: Replica) -> bool:
    try:
        socket.create_connection(("127.0.0.1", replica.port), SECONDS).close()
    except ConnectionRefusedError:
        return False
    return True


def test_replica_that_is_told_to_stop_drains(begin: Begin) -> None:
    """/readyz says so first, while every other request is answered; then it ends, with exit code 0."""
    replica = begin(drain=2)
    with httpx.Client(timeout=SECONDS) as http:
        assert "connection" not in http.get(f"{replica.url}/readyz").headers
        replica.process.send_signal(signal.SIGTERM)
        wait_for(lambda: http.get(f"{replica.url}/readyz").status_code == 503, "/readyz says so")
    answer = introspect(replica)
    assert (answer.status_code, answer.headers["connection"]) == (200, "close"), "no idle connection is left"
    assert httpx.get(f"{replica.url}/readyz", timeout=SECONDS).json() == {"status": "leaving"}
    assert replica.process.wait(SECONDS) == 0
    assert (replica.logged("replica leaving")["seconds"], replica.log[-1]["event"]) == (2, "replica stopped")


def test_what_has_begun_is_finished(begin: Begin) -> None:
    """A request whose body is on its way, and one whose connection had just been made."""
    replica = begin()
    post = Post(f"{replica.url}/introspect", {"token": "x"}, BEARER)
    held = HeldRequest(post)
    with connect("127.0.0.1", replica.port) as fresh:
        assert introspect(replica).status_code == 200, "both connections were accepted by now"
        replica.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not listens(replica), "nothing more is accepted")
        fresh.sendall(post.raw)
        answers = [read_answer(fresh.makefile("rb")), held.finish()]
    assert [answer.status for answer in answers] == [200, 200]
    assert replica.process.wait(SECONDS) == 0
    assert replica.logged("replica stopped")


@pytest.mark.parametrize("workers", [1, 2])
def test_second_signal_ends_it_at_once(begin: Begin, workers: int) -> None:
    replica = begin(workers=workers, drain=60)
    replica.process.send_signal(signal.SIGTERM)
    replica.logged("replica leaving")
    replica.process.send_signal(signal.SIGTERM)
    assert replica.process.wait(10) in {0, -signal.SIGTERM}
    assert not [line for line in replica.log if line["event"] == "replica stopped"]
    wait_for(lambda: not listens(replica), "no worker is left")


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupt_of_a_person_does_not_wait_for_balancers(begin: Begin, workers: int) -> None:
    """A terminal sends it to every process of the group."""
    replica = begin(workers=workers, drain=60)
    os.killpg(replica.process.pid, signal.SIGINT)
    assert replica.process.wait(SECONDS) == 130
    assert len([line for line in replica.log if line["event"] == "replica stopped"]) == workers


def test_all_workers_drain_where_every_process_is_told_to_stop(begin: Begin) -> None:
    """An init system sends SIGTERM to the whole group, and the supervisor tells its workers too: once is once."""
    replica = begin(workers=2, drain=1)
    os.killpg(replica.process.pid, signal.SIGTERM)
    wait_for(lambda: len(events(replica, "replica leaving")) == 2, "both workers drain")
    answers = {httpx.get(f"{replica.url}/readyz", timeout=SECONDS).status_code for _ in range(8)}
    assert answers == {503}
    assert replica.process.wait(SECONDS) == 0
    assert len(events(replica, "replica stopped")) == 2


def events(replica: Replica, event: str) -> list[dict[str, object]]:
    return [line for line in replica.log if line["event"] == event]


def workers_of(replica: Replica) -> set[int]:
    return workers_below(replica.process.pid)


def workers_below(supervisor: int) -> set[int]:
    """The process ids of workers, which are the children that take a listening socket."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return {int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()}


@contextmanager
def load(replica: Replica) -> Iterator[list[int]]:
    """The status of each of the requests that are made all the while, on kept connections and new ones."""
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        # Idle for less than the drain, as a balancer's connections are.
        with httpx.Client(timeout=SECONDS, headers=BEARER) as kept:
            while not over.wait(0.02):
                statuses.append(kept.post(f"{replica.url}/introspect", data={"token": "x"}).status_code)
                statuses.append(introspect(replica).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    yield statuses
    over.set()
    thread.join(SECONDS)
    assert not thread.is_alive()


def test_workers_are_replaced_one_by_one_without_a_failed_request(begin: Begin) -> None:
    replica = begin(workers=2, drain=1)
    before = workers_of(replica)
    assert len(before) == 2
    with load(replica) as statuses:
        replica.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(events(replica, "replica stopped")) == 2, "both workers were replaced", 60)
        count = len(statuses)
        wait_for(lambda: len(statuses) > count + 10, "the load goes on")
    assert len(statuses) > 20
    assert set(statuses) == {200}
    assert not workers_of(replica) & before
    assert [line["pid"] for line in events(replica, "worker replaced")] == sorted(before)


def test_workers_among_peers_are_replaced_without_a_failed_request(tmp_path: Path) -> None:
    """A successor listens once it has caught up with the peers, and until then its predecessor goes on."""
    ports = free_port(), free_port()
    shared = settings("sqlite:///ledger.db", ports[0])
    replicas = [
        Replica(changed(shared, peers=f"http://127.0.0.1:{other}"), port, count, tmp_path / str(port))
        for port, other, count in ((*ports, 2), (*reversed(ports), 1))
    ]
    for replica in replicas:
        (tmp_path / str(replica.port)).mkdir()
    replica, other = replicas
    other.environment = changed(other.environment, peers_bootstrap="true")
    with other, replica:
        wait_for(lambda: len(events(replica, "replica caught up")) == 2, "both workers have caught up")
        with load(replica) as statuses:
            replica.process.send_signal(signal.SIGHUP)
            wait_for(lambda: len(events(replica, "worker replaced")) == 2, "both workers were replaced", 60)
            count = len(statuses)
            wait_for(lambda: len(statuses) > count + 100, "the load goes on")
        assert set(statuses) == {200}


def test_worker_that_died_has_a_successor(begin: Begin) -> None:
    replica = begin(workers=2)
    client = Client(replica.url)
    issued = client.sign_in()
    wait_for(lambda: len(events(replica, "replica started")) == 2, "both workers have started")
    [first, second] = sorted(workers_of(replica))
    os.kill(first, signal.SIGKILL)
    assert replica.logged("worker ended", pid=first, code=-signal.SIGKILL)
    wait_for(lambda: len(events(replica, "replica started")) == 3, "another one has started")
    assert second in workers_of(replica)
    assert len(workers_of(replica)) == 2
    assert [client.active(issued.access) for _ in range(8)] == [True] * 8


def test_workers_end_when_their_supervisor_is_killed(begin: Begin) -> None:
    """Left behind they would hold the port, and nobody would tell them of anything."""
    replica = begin(workers=2)
    replica.process.kill()
    wait_for(lambda: len(events(replica, "replica stopped")) == 2, "both workers ended, in order")
    assert not listens(replica)


def test_worker_that_hangs_is_killed_and_has_a_successor(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The supervisor runs here, in the one thread that may have signal handlers; another looks on, and ends it."""
    monkeypatch.setattr(workers, "HUNG_SECONDS", 3.0)
    config = uvicorn.Config("tests.commands.test_connection:application", lifespan="off", workers=1, log_config=None)

    def look_on() -> None:
        try:
            [pid] = wait_for(lambda: workers_below(os.getpid()), "a worker is there")
            with socket.create_connection(listening.getsockname(), SECONDS) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert read_answer(client.makefile("rb")).status == 200
            os.kill(pid, signal.SIGSTOP)
            wait_for(lambda: workers_below(os.getpid()) - {pid}, "another worker is there")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:
        looked = pool.submit(look_on)
        Workers(config, listening, drain=0).run()
        looked.result(SECONDS)
    assert '"event":"worker hangs"' in capfd.readouterr().err


@pytest.mark.parametrize("application", ["tests.commands.nothing:app", "tests.commands.hopeless:app"])
def test_workers_that_cannot_start_or_go_on_end_the_replica(application: str) -> None:
    config = uvicorn.Config(application, workers=2, log_config=None)
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        pytest.raises(CommandFailed, match="the workers cannot go on"),
    ):
        Workers(config, listening, drain=0).run()
