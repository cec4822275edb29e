"""`python -m tokensvc.resource.verify`: says of each request that a proxy got whether to let it in, and who it is.

For services that cannot be changed, behind nginx's `auth_request` or Caddy's `forward_auth`. The proxy passes on the
client's Authorization header to GET /verify; 200 brings the caller in X-Auth-* headers, each part percent-encoded as
in `sub`, 401 and 403 bring the challenge for the client, 503 says that nobody can tell. The metadata that the
challenge points to is served here too. It listens on loopback: the proxy alone asks it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tokensvc.resource.environment import from_environment
from tokensvc.resource.middleware import BearerAuth
from tokensvc.resource.token import AccessToken
from tokensvc.resource.verifier import IntrospectionVerifier


def application(verifier: IntrospectionVerifier, scopes: list[str], pass_others: bool = False) -> Starlette:
    """With `pass_others`, whoever brings none of the service's tokens is let through without a name.

    A token that is bound to a key is refused: its proof is of the request that the proxy got, which is not this one.
    """
    guard = Middleware(BearerAuth, verifier=verifier, scopes=scopes, pass_others=pass_others, dpop="off")
    return Starlette(routes=[Route("/verify", _verify)], middleware=[guard])


async def _verify(request: Request) -> Response:
    token = request.scope.get("user")
    named = _names(token) if isinstance(token, AccessToken) else {}
    return Response(headers={"Cache-Control": "no-store", **named})


def _names(token: AccessToken) -> Mapping[str, str]:
    return {
        "X-Auth-Account": quote(token.account, safe=""),
        "X-Auth-User": quote(token.user, safe=""),
        "X-Auth-Role": quote(token.role, safe=""),
        "X-Auth-Client": quote(token.client_id, safe=""),
        "X-Auth-Scope": quote(token.scope, safe=" :/"),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tokensvc.resource.verify", description=__doc__.split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1", help="an address that only the proxy reaches")
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--scope", action="append", default=[], help="every token needs it; may be repeated")
    parser.add_argument("--pass-others", action="store_true", help="let through who brings no token of the service")
    parser.add_argument("--denylist", action="store_true", help="listen for revocations")
    options = parser.parse_args(arguments)
    try:
        verifier = from_environment(denylist=options.denylist)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{error}\n")
    if verifier is None:
        parser.exit(1, "OAUTH_ISSUER and OAUTH_INTROSPECTION_TOKEN are not set\n")
    app = application(verifier, options.scope, options.pass_others)
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        ws="none",
        # Who asks is the proxy itself. What it says of the client is nobody's business here.
        proxy_headers=False,
        access_log=False,
        log_level="warning",
        server_header=False,
    )


if __name__ == "__main__":
    main()
