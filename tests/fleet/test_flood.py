"""Floods of registrations, codes and revocations: memory stays bounded, and nothing that was revoked comes back."""

from __future__ import annotations

import os
import secrets
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.fleet.conftest import Figures
from tests.fleet.fleet import Fleet
from tests.fleet.load import FACTOR
from tests.fleet.test_killed import is_dead
from tests.replica import ADMIN_TOKEN, SECONDS, TLS, Client, Replica, tokens, wait_for
from tokensvc.ledger.book import MOST_TOKENS

pytestmark = pytest.mark.needs("haproxy")

FLOOD = 400 * FACTOR
ROOM = 16 * 2**20
"""Bytes by which the memory of a replica may grow meanwhile: what caches and buffers come to, whatever is asked."""
MARKS_OF_A_GRANT = MOST_TOKENS + 1
"""However many tokens of it are revoked one by one: the next one ends the grant."""


def test_floods_are_met_with_bounded_memory(tmp_path: Path, figures: Figures) -> None:
    with Fleet(tmp_path, size=2) as fleet:
        client, other = fleet.client(0), fleet.client(1)
        client.sign_in()
        before = [resident(replica) for replica in fleet.replicas]
        for number in range(FLOOD):
            client.register(client_name=f"App {number}")
            assert client.redeem(f"tsac_{secrets.token_urlsafe(200)}").json()["error"] == "invalid_grant"
        revoked, grants = revoke_one_after_another(client, FLOOD // 2)
        grown = [resident(replica) - size for replica, size in zip(fleet.replicas, before, strict=True)]
        marks = [number_of_marks(replica) for replica in fleet.replicas]
        for replica in (client, other):
            for access in revoked:
                wait_for(partial(is_dead, replica, access), "what was revoked is dead", 1)
    figures(
        f"{FLOOD} registrations and codes that are none, {len(revoked)} revocations of tokens of {grants} grants: "
        f"memory grew by {max(grown) / 2**20:.1f} MiB, {max(marks)} marks are kept"
    )
    assert max(grown) < ROOM
    assert grants < len(revoked) // MOST_TOKENS + 2
    assert max(marks) <= grants * MARKS_OF_A_GRANT


def revoke_one_after_another(client: Client, times: int) -> tuple[list[str], int]:
    """Refresh and revoke the new access token, and sign in again where that has ended the grant: all tokens, and of
    how many grants they were."""
    issued = client.sign_in()
    revoked, grants = [], 1
    for _ in range(times):
        assert client.revoke(issued.access).status_code == 200
        revoked.append(issued.access)
        answer = client.refresh(issued.refresh)
        grants += answer.status_code != 200
        issued = tokens(answer) if answer.status_code == 200 else client.sign_in()
    return revoked, grants


def number_of_marks(replica: Replica) -> int:
    answer = httpx.get(
        f"{replica.url}/admin/denylist",
        headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
        verify=TLS,
        timeout=SECONDS,
    )
    return len(answer.json()["marks"])


def resident(replica: Replica) -> int:
    """Bytes in memory (proc(5))."""
    return int(Path(f"/proc/{replica.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
