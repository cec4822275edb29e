"""An API with API keys that gained OAuth. Without the variables of `from_environment` it is what it was."""

import os
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request

from tokensvc.resource import AccessToken, BearerAuth, from_environment

KEYS = {os.environ["API_KEY"]: "acme/ada"}

app = FastAPI()
app.add_middleware(BearerAuth, verifier=from_environment(), scopes=["mcp"], pass_others=True)


def caller(request: Request) -> str:
    if isinstance(token := request.scope.get("user"), AccessToken):
        return token.sub
    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    if key not in KEYS:
        raise HTTPException(401, "an API key is needed")
    return KEYS[key]


@app.get("/invoices")
def invoices(who: Annotated[str, Depends(caller)]) -> dict[str, str]:
    return {"invoices of": who}
