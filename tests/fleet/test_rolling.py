"""What operators do to a fleet while people use it: restart it, rotate its keys, change its version."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fleet.conftest import Figures
from tests.fleet.fleet import Fleet
from tests.fleet.load import Load

pytestmark = pytest.mark.needs("haproxy")


def test_rolling_restart_under_load(tmp_path: Path, figures: Figures) -> None:
    with Fleet(tmp_path, ledger=f"sqlite:///{tmp_path}/l.db", changes={"peers": ""}) as fleet, Load(fleet.url) as load:
        fleet.roll()
        load.go_on()
    figures(load.summary())
    assert not load.failures
