"""The floors: the least that a Starlette route can do with a request, and an answer of the service's size."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Read = Callable[[Request], Awaitable[object]]


async def by_form(request: Request) -> object:
    """As most do it: Starlette reads the form with python-multipart."""
    return await request.form()


async def by_parse_qsl(request: Request) -> object:
    """As little as can be: the body, parsed once by the standard library."""
    return parse_qsl((await request.body()).decode())


async def by_json(request: Request) -> object:
    return await request.json()


READERS: dict[str, Read] = {"form": by_form, "parse_qsl": by_parse_qsl, "json": by_json}


def application(answers: Path) -> Starlette:
    """A route for every way of reading and every answer of a JSON file, at `/READER/ANSWER`."""
    named: dict[str, Any] = json.loads(answers.read_text())
    return Starlette(
        routes=[
            Route(f"/{reader}/{name}", _route(read, answer), methods=["POST"])
            for reader, read in READERS.items()
            for name, answer in named.items()
        ]
    )


def _route(read: Read, answer: object) -> Callable[[Request], Awaitable[Response]]:
    async def route(request: Request) -> Response:
        await read(request)
        return JSONResponse(answer)

    return route
