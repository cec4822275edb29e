"""The known MCP clients: what they send to /register, and how they ask for authorization.

Taken from their sources where those are open (VS Code, MCP Inspector, mcp-remote, Gemini CLI, Zed, OpenCode, n8n) and
from servers' logs in public issues where they are not. Ports of loopback redirects are those of one run.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from typing import Any

BOTH = ["authorization_code", "refresh_token"]


@dataclass(frozen=True)
class KnownClient:
    """`elsewhere` maps a registered redirect URI to what the client sends when its port is another that day."""

    name: str
    registration: dict[str, Any]
    elsewhere: dict[str, str] = field(default_factory=dict)
    state: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    scope: str = ""

    @property
    def redirect_uris(self) -> list[str]:
        """Every one that it may ask to be answered at."""
        registered: list[str] = self.registration["redirect_uris"]
        return [*registered, *self.elsewhere.values()]


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
    scope="mcp offline_access",
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
    state=f"oauth_s_{secrets.token_hex(300)}"[:521],
    scope="mcp",
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
    scope="mcp",
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
        "grant_types": [*BOTH, "urn:ietf:params:oauth:grant-type:device_code"],
        "response_types": ["code"],
        "redirect_uris": [
            "https://insiders.vscode.dev/redirect",
            "https://vscode.dev/redirect",
            "http://127.0.0.1/",
            "http://127.0.0.1:33418/",
        ],
        "scope": "mcp",
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    },
    elsewhere={"http://127.0.0.1/": "http://127.0.0.1:58371/"},
    # Standard base64, not base64url.
    state=base64.b64encode(b"\xfb\xff\xbe" * 5 + b"\x01").decode(),
    scope="mcp",
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
        "client_uri": "https://github.com/modelcontextprotocol/inspector",
        "scope": "",
    },
    state=secrets.token_hex(32),
)
MCP_REMOTE = KnownClient(
    "mcp-remote",
    {
        "redirect_uris": ["http://localhost:3334/oauth/callback"],
        "token_endpoint_auth_method": "none",
        "grant_types": BOTH,
        "response_types": ["code"],
        "client_name": "MCP CLI Proxy",
        "client_uri": "https://github.com/modelcontextprotocol/mcp-cli",
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
    state=secrets.token_hex(32),
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
        "scope": "mcp offline_access",
    },
    state=base64.b64encode(b'{"token":"eH5r/7-q+Zs","cid":"x4Yb2Wk9","createdAt":1789551234567}').decode(),
    scope="mcp offline_access",
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
