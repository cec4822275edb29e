"""The known MCP clients: where they look for metadata, how they register, and how they ask for authorization.

Taken from their sources where those are open (VS Code, MCP Inspector, mcp-remote, Gemini CLI, Zed, OpenCode, n8n, the
SDKs that others are built on) and from servers' logs in public issues where they are not. A client whose source is not
open is taken to keep to the MCP specification by the letter. Ports of loopback redirects are those of one run, and
MCP Inspector's and mcp-remote's client_uri is left out: it decides nothing.
"""

import base64
from dataclasses import dataclass, field
from typing import Any, Literal

BOTH = ["authorization_code", "refresh_token"]
_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"

INSERTED = "{origin}/.well-known/oauth-authorization-server{path}"
"""RFC 8414 §3.1."""
APPENDED = "{origin}{path}/.well-known/oauth-authorization-server"
ROOT = "{origin}/.well-known/oauth-authorization-server"
OPENID_INSERTED = "{origin}/.well-known/openid-configuration{path}"
"""RFC 8414 §5."""
OPENID_APPENDED = "{origin}{path}/.well-known/openid-configuration"
"""OpenID Connect Discovery 1.0 §4."""
OPENID_ROOT = "{origin}/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Habits:
    """What the code below a client does. `places` are where it looks for the issuer's metadata, in its order.

    `guesses`: where nothing names an issuer it takes the server's own origin for one.
    `gives_up`: a 5xx or a page of HTML is the end of its search, and no reason to look on.
    `schema`: documents have to be as the standards write them: no null, nothing left out.
    `issuer`: the metadata has to name the issuer that was asked, by the `letter` or as a `url`; so does `iss`.
    `resource`: the resource metadata has to name the server's address by the `letter`, the `same` as a URL, or one
    that it is `within`. Who wants the same goes on without that metadata, to the server's own origin.
    """

    places: tuple[str, ...]
    guesses: bool = True
    gives_up: bool = False
    schema: bool = False
    pkce: bool = True
    issuer: Literal["letter", "url", "any"] = "any"
    resource: Literal["letter", "same", "within", "any"] = "any"


_SPECIFIED = (INSERTED, OPENID_INSERTED, OPENID_APPENDED)
"""The order of the MCP specification."""
SDK = Habits(_SPECIFIED, gives_up=True, schema=True, issuer="letter", resource="within")
"""The TypeScript SDK, and the specification to the letter."""
RUST_SDK = Habits((INSERTED, APPENDED, ROOT, OPENID_INSERTED, OPENID_APPENDED), issuer="letter", resource="within")
VS_CODE_OWN = Habits(_SPECIFIED, pkce=False, resource="same")
GEMINI_OWN = Habits((INSERTED, OPENID_INSERTED, OPENID_APPENDED, ROOT, OPENID_ROOT), pkce=False, resource="letter")
ZED_OWN = Habits(_SPECIFIED, guesses=False, issuer="url")
N8N_OWN = Habits(_SPECIFIED, pkce=False)


@dataclass(frozen=True, slots=True)
class Document:
    """A Client ID Metadata Document: the client_id that stands for it, and the redirect URIs of the client then.

    It is used where the metadata has `client_id_metadata_document_supported` and, as the client may ask besides,
    `none` among the methods of the token endpoint, or `iss` (RFC 9207).
    """

    url: str
    redirect_uris: tuple[str, ...]
    needs_none: bool = False
    needs_iss: bool = False


@dataclass(frozen=True)
class KnownClient:
    """One client. `registration` is what it posts; with `registers_scope` the scope that it will ask for goes along.

    `elsewhere` maps a registered redirect URI to what the client sends when its port is another that day.
    `scope` is asked for whatever the server offers; a client without one asks for what the server's metadata names.
    `origin` is that of the page for a client that is one. `patience` is in seconds for the whole connect; 0: any time.
    """

    name: str
    registration: dict[str, Any]
    elsewhere: dict[str, str] = field(default_factory=dict)
    state: str = "q0LkYx7sVh3nJt9RcEw2Zb5MfUa8Dg1PoKi4"
    scope: str = ""
    registers_scope: bool = False
    habits: Habits = SDK
    document: Document | None = None
    origin: str = ""
    patience: float = 0

    @property
    def redirect_uris(self) -> list[str]:
        """Every one that it may ask to be answered at."""
        registered: list[str] = self.registration["redirect_uris"]
        return [*registered, *self.elsewhere.values()]

    @property
    def method(self) -> str:
        """How it means to authenticate at the token endpoint."""
        return str(self.registration["token_endpoint_auth_method"])

    @property
    def installed(self) -> bool:
        """It runs on the person's machine, and hands the authorization URL to that machine's browser."""
        return not all(uri.startswith("https:") for uri in self.redirect_uris)


CLAUDE = KnownClient(
    "Claude",
    {
        "client_name": "Claude",
        "client_uri": "https://claude.ai",
        "logo_uri": "https://claude.ai/images/claude_app_icon.png",
        "redirect_uris": ["https://claude.ai/api/mcp/auth_callback", "https://claude.com/api/mcp/auth_callback"],
        "grant_types": BOTH,
        "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_post",
        "scope": "claudeai",
    },
    scope="claudeai",
    document=Document(
        "https://claude.ai/oauth/mcp-oauth-client-metadata",
        ("https://claude.ai/api/mcp/auth_callback",),
        needs_none=True,
    ),
    patience=10,
)
CLAUDE_CODE = KnownClient(
    "Claude Code",
    {
        "client_name": "Claude Code (tokensvc)",
        "redirect_uris": ["http://localhost:54212/callback"],
        "grant_types": BOTH,
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "software_id": "com.anthropic.claude-code",
    },
    elsewhere={"http://localhost:54212/callback": "http://localhost:61003/callback"},
    # The document's own redirect URIs have no port.
    document=Document("https://claude.ai/oauth/claude-code-client-metadata", ("http://localhost:61003/callback",)),
)
CHATGPT = KnownClient(
    "ChatGPT",
    {
        "client_name": "ChatGPT",
        "redirect_uris": [
            "https://chatgpt.com/connector_platform_oauth_redirect",
            "https://chatgpt.com/connector/oauth/kJ3v9Qw2Lx8Z",
        ],
        "grant_types": BOTH,
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "web",
    },
    state=f"oauth_s_{'6fd3a0b9c81e4572' * 33}"[:521],
    document=Document(
        "https://chatgpt.com/oauth/client.json",
        ("https://chatgpt.com/connector_platform_oauth_redirect",),
        needs_iss=True,
    ),
)
CODEX = KnownClient(
    "Codex",
    {
        "client_name": "Codex",
        "redirect_uris": ["http://127.0.0.1:49210/callback"],
        "grant_types": BOTH,
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
        # A client may send what it leaves unset as null; it must not come back.
        "scope": None,
        "client_uri": None,
        "contacts": None,
    },
    elsewhere={"http://127.0.0.1:49210/callback": "http://127.0.0.1:50999/callback"},
    habits=RUST_SDK,
    document=Document("https://chatgpt.com/oauth/codex/client.json", ("http://127.0.0.1:50999/callback",)),
)
CURSOR = KnownClient(
    "Cursor",
    {
        "client_name": "Cursor",
        "client_uri": "https://cursor.com",
        "redirect_uris": [
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://www.cursor.com/agents/mcp/oauth/callback",
            "http://localhost:8787/callback",
        ],
        "grant_types": BOTH,
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    },
)
VS_CODE = KnownClient(
    "VS Code",
    {
        "client_name": "Visual Studio Code",
        "client_uri": "https://code.visualstudio.com",
        "grant_types": [*BOTH, _DEVICE],
        "response_types": ["code"],
        "redirect_uris": [
            "https://insiders.vscode.dev/redirect",
            "https://vscode.dev/redirect",
            "http://127.0.0.1/",
            "http://127.0.0.1:33418/",
        ],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    },
    elsewhere={"http://127.0.0.1/": "http://127.0.0.1:58371/"},
    # Standard base64, not base64url.
    state=base64.b64encode(b"\xfb\xff\xbe" * 5 + b"\x01").decode(),
    registers_scope=True,
    habits=VS_CODE_OWN,
    document=Document(
        "https://vscode.dev/oauth/client-metadata.json", ("http://127.0.0.1:33418/", "https://vscode.dev/redirect")
    ),
)
INSPECTOR = KnownClient(
    "MCP Inspector",
    {
        "redirect_uris": [
            "http://127.0.0.1:6274/oauth/callback",
            "http://127.0.0.1:6274/oauth/callback/debug",
            "http://localhost:6274/oauth/callback",
            "http://localhost:6274/oauth/callback/debug",
        ],
        "token_endpoint_auth_method": "none",
        "grant_types": BOTH,
        "response_types": ["code"],
        "client_name": "MCP Inspector",
        "scope": "",
    },
    state="4b1f" * 16,
    origin="http://127.0.0.1:6274",
)
MCP_REMOTE = KnownClient(
    "mcp-remote",
    {
        "redirect_uris": ["http://localhost:3334/oauth/callback"],
        "token_endpoint_auth_method": "none",
        "grant_types": BOTH,
        "response_types": ["code"],
        "client_name": "MCP CLI Proxy",
        "software_id": "2e6dc280-f3c3-4e01-99a7-8181dbd1d23d",
        "software_version": "0.1.37",
        "scope": "openid email profile",
    },
    elsewhere={"http://localhost:3334/oauth/callback": "http://localhost:17263/oauth/callback"},
    scope="openid email profile",
)
GEMINI_CLI = KnownClient(
    "Gemini CLI",
    {
        "client_name": "Gemini CLI MCP Client",
        "redirect_uris": ["http://localhost:7777/oauth/callback"],
        "grant_types": BOTH,
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": "",
    },
    elsewhere={"http://localhost:7777/oauth/callback": "http://localhost:42137/oauth/callback"},
    habits=GEMINI_OWN,
)
ZED = KnownClient(
    "Zed",
    {
        "client_name": "Zed",
        "redirect_uris": ["http://127.0.0.1:40871/callback"],
        "grant_types": BOTH,
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    },
    elsewhere={"http://127.0.0.1:40871/callback": "http://127.0.0.1:41009/callback"},
    registers_scope=True,
    habits=ZED_OWN,
    document=Document("https://zed.dev/oauth/client-metadata.json", ("http://127.0.0.1:41009/callback",)),
)
OPENCODE = KnownClient(
    "OpenCode",
    {
        "redirect_uris": ["http://127.0.0.1:19876/mcp/oauth/callback"],
        "client_name": "OpenCode",
        "client_uri": "https://opencode.ai",
        "grant_types": BOTH,
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    },
    state="c09e" * 16,
    document=Document("https://opencode.ai/oauth/opencode/client.json", ("http://127.0.0.1:19876/callback",)),
)
N8N = KnownClient(
    "n8n",
    {
        "redirect_uris": ["https://n8n.example.com/rest/oauth2-credential/callback"],
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": BOTH,
        "response_types": ["code"],
        "client_name": "n8n",
        "client_uri": "https://n8n.io/",
        "contacts": ["ops@n8n.example.com"],
    },
    state=base64.b64encode(b'{"token":"eH5r/7-q+Zs","cid":"x4Yb2Wk9","createdAt":1789551234567}').decode(),
    registers_scope=True,
    habits=N8N_OWN,
)

ALL = (
    CLAUDE,
    CLAUDE_CODE,
    CHATGPT,
    CODEX,
    CURSOR,
    VS_CODE,
    INSPECTOR,
    MCP_REMOTE,
    GEMINI_CLI,
    ZED,
    OPENCODE,
    N8N,
)
