"""Listening to `/denylist`, for as long as there is somebody who wants to hear."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from tokensvc.resource.service import Page, Service, Unavailable

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_BREATH = 0.1
"""Seconds between two answers without news: a replica that leaves answers at once, and would be asked without end."""

_log = logging.getLogger("tokensvc.resource")


async def listen(service: Service, heard: Callable[[Page], None]) -> None:
    """Tell of every page. Where the service cannot be asked, ask again after a pause that grows."""
    cursor, pause = "", _FIRST_PAUSE
    while True:
        try:
            page = await service.denylist(cursor)
        except Unavailable as error:
            _log.warning("%s; asked again within %d seconds", error, pause + 1)
            # By chance, so that servers that lost the service together do not come back together.
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - guards nothing
            pause = min(pause * 2, _LONGEST_PAUSE)
            continue
        heard(page)
        cursor, pause = page.cursor, _FIRST_PAUSE
        if not page.entries and not page.more:
            await asyncio.sleep(_BREATH)
