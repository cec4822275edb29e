"""Serve a floor, the rival or a protected endpoint under the very server that `tokensvc serve` runs.

`python -m benchmarks.serving`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from benchmarks import floors, kit, rival
from tokensvc.commands.serve import LONGEST_HEADERS


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a floor, the rival or a protected endpoint.")
    parser.add_argument("--port", type=int, required=True)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("floors").add_argument("answers", type=Path)
    opaque = kinds.add_parser("rival")
    opaque.add_argument("database", type=Path)
    opaque.add_argument("synchronous", choices=["NORMAL", "FULL"])
    protected = kinds.add_parser("kit")
    protected.add_argument("protection", choices=kit.KINDS)
    protected.add_argument("issuer")
    options = parser.parse_args()
    if options.kind == "kit":
        serve(kit.application(options.protection, options.issuer), options.port)
    elif options.kind == "floors":
        serve(floors.application(options.answers), options.port)
    else:
        serve(rival.application(options.database, options.synchronous), options.port)


def serve(app: Starlette, port: int) -> None:
    """Every choice that tokensvc.commands.serve makes, so that the framework is what remains to compare."""
    uvicorn.run(
        app,
        port=port,
        http="h11",
        ws="none",
        lifespan="on",
        h11_max_incomplete_event_size=LONGEST_HEADERS,
        proxy_headers=True,
        forwarded_allow_ips=["127.0.0.0/8", "::1"],
        access_log=False,
        log_level="warning",
        server_header=False,
    )


if __name__ == "__main__":
    main()
