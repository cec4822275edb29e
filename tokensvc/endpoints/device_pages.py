"""The pages of /device: where the code is entered, where the person decides, and what came of it."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse

from tokensvc.endpoints.pages import HEADERS, SCOPE_MEANINGS, plain_host, plain_text, shortened, templates
from tokensvc.protocol.user_code import shown
from tokensvc.tokens.kinds import DeviceRequest

CODE: Final = templates.get_template("device_code.html")
CONSENT: Final = templates.get_template("device_consent.html")
RESULT: Final = templates.get_template("device_result.html")


@dataclass(frozen=True, slots=True)
class Form:
    """What both forms hold: `page` is the sealed DevicePage, and `issuer` whose it is."""

    page: str
    issuer: str

    @property
    def host(self) -> str:
        return plain_host(urlsplit(self.issuer).netloc)


def code_page(
    form: Form, *, user_code: str = "", request: str = "", status: int = 200, problem: str = ""
) -> HTMLResponse:
    """Ask for the code on the device, filled in where it is one. `request` is sealed, where it came in the link.

    Nothing that is not a code is shown again.
    """
    html = CODE.render(
        hidden={"page": form.page} | ({"request": request} if request else {}),
        host=form.host,
        user_code=shown(user_code),
        problem=problem,
    )
    return HTMLResponse(html, status, HEADERS)


def consent_page(
    form: Form, asked: DeviceRequest, resource: str, *, status: int = 200, problem: str = ""
) -> HTMLResponse:
    """Ask for the API key and the decision, saying who asks for what, and which code the device has to show."""
    html = CONSENT.render(
        hidden={"page": form.page},
        host=form.host,
        name=shortened(asked.client_name, 100),
        verified=asked.verified,
        client_host=plain_host(asked.client_host),
        user_code=shown(asked.user_code),
        resource=plain_text(resource),
        scopes=[(plain_text(scope), SCOPE_MEANINGS.get(scope, "")) for scope in asked.scope.split()],
        problem=problem,
    )
    return HTMLResponse(html, status, HEADERS)


def result_page(issuer: str, title: str, message: str) -> HTMLResponse:
    return HTMLResponse(RESULT.render(host=Form("", issuer).host, title=title, message=message), headers=HEADERS)
