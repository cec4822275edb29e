"""An API that knows API keys and nothing else: what docs/examples/fastapi_api.py was before."""

import os
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request

KEYS = {os.environ["API_KEY"]: "acme/ada"}

app = FastAPI()


def caller(request: Request) -> str:
    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    if key not in KEYS:
        raise HTTPException(401, "an API key is needed")
    return KEYS[key]


@app.get("/invoices")
def invoices(who: Annotated[str, Depends(caller)]) -> dict[str, str]:
    return {"invoices of": who}
