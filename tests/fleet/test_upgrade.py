"""Two versions beside each other: a fleet is upgraded while people use it, and changed back."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.fleet.conftest import Figures
from tests.fleet.fleet import Fleet
from tests.fleet.load import Load
from tests.fleet.previous import previous_sources
from tests.replica import Replica

pytestmark = [pytest.mark.needs("haproxy"), pytest.mark.needs("previous version")]


def test_upgrade_and_rollback_under_load(tmp_path: Path, figures: Figures) -> None:
    """From the version before to this one, replica by replica, and all the way back."""
    before = previous_sources(tmp_path / "previous")
    with Fleet(tmp_path, start_with={"PYTHONPATH": str(before)}) as fleet, Load(fleet.url) as load:
        versions = [versions_of(fleet)]
        load.go_on()
        for path in ("", str(before)):
            fleet.roll(partial(runs_from, path))
            load.go_on()
            versions.append(versions_of(fleet))
    figures(f"{' to '.join('/'.join(sorted(names)) for names in versions)} on {fleet.size} replicas; {load.summary()}")
    assert versions[0] == versions[2] != versions[1]
    assert not load.failures


def runs_from(path: str, replica: Replica) -> None:
    environment = dict(replica.environment)
    environment.pop("PYTHONPATH", None)
    replica.environment = environment | ({"PYTHONPATH": path} if path else {})


def versions_of(fleet: Fleet) -> set[str]:
    started = [[line for line in replica.log if line["event"] == "replica started"] for replica in fleet.replicas]
    return {lines[-1]["version"] for lines in started}
