"""Replicas are restarted one by one while people sign in, refresh and are asked about."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.fleet.conftest import Figures
from tests.fleet.fleet import Fleet
from tests.fleet.load import Load
from tests.flows.balancer import Balancer
from tests.ports import free_port
from tests.replica import Replica, settings, wait_for

pytestmark = pytest.mark.needs("haproxy")


def test_rolling_restart_under_load(tmp_path: Path, figures: Figures) -> None:
    """Each is told to stop, which HAProxy sees before it stops, and inherits what it forgot when it is back."""
    with Fleet(tmp_path) as fleet, Load(fleet.url) as load:
        load.go_on()
        fleet.roll()
        load.go_on()
    figures(f"{fleet.size} replicas restarted; {load.summary()}")
    assert not load.failures


@pytest.mark.needs("nginx")
def test_rolling_restart_behind_nginx_under_load(tmp_path: Path, figures: Figures) -> None:
    """nginx asks nobody whether they are well: it passes over who does not listen, and comes back after a while."""
    balancer = Balancer(tmp_path)
    environment = settings("sqlite:///ledger.db", balancer.port, issuer=balancer.url)
    # Longer than nginx keeps idle connections: what it sends on one that is just being closed would be lost.
    replicas = [Replica(environment, free_port(), directory=tmp_path, drain=4) for _ in range(2)]
    with (
        replicas[0],
        replicas[1],
        balancer.start([replica.port for replica in replicas]),
        Load(balancer.url, make=lambda _url: balancer.client()) as load,
    ):
        for replica in replicas:
            load.go_on()
            replica.stop()
            load.go_on()
            seen = len(replica.log)
            replica.start()
            wait_for(partial(has_part, replica, seen), "nginx sends it requests again")
        load.go_on()
    figures(f"{len(replicas)} replicas restarted; {load.summary()}")
    assert not load.failures


def has_part(replica: Replica, seen: int) -> bool:
    return any(line["event"] == "token issued" for line in replica.log[seen:])
