"""An application that finds out while it runs that it cannot go on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, list[str]]]:
    yield {"problems": ["nobody is there"]}


app = Starlette(lifespan=lifespan)
