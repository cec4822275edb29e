// An MCP server out of the TypeScript SDK that asks tokensvc about tokens (npm install @modelcontextprotocol/sdk express).

import express from "express";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { InvalidTokenError } from "@modelcontextprotocol/sdk/server/auth/errors.js";
import { requireBearerAuth } from "@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js";
import type { OAuthTokenVerifier } from "@modelcontextprotocol/sdk/server/auth/provider.js";

const issuer = process.env.ISSUER!;
const identifier = process.env.RESOURCE ?? "http://127.0.0.1:9000/mcp"; // to the letter: a URL adds slashes
const resource = new URL(identifier);
const metadataUrl = new URL(`/.well-known/oauth-protected-resource${resource.pathname}`, resource);

const verifier: OAuthTokenVerifier = {
  async verifyAccessToken(token) {
    const facts = await introspect(token);
    // One with a `cnf` is bound to a key (DPoP), and this server takes bearers only.
    if (facts.active !== true || facts.cnf) throw new InvalidTokenError("the token is not valid");
    return {
      token,
      clientId: facts.client_id,
      scopes: facts.scope.split(" "),
      expiresAt: facts.exp,
      resource: new URL(facts.aud),
      extra: { sub: facts.sub, account: facts.account, user: facts.user, role: facts.role },
    };
  },
};

async function introspect(token: string) {
  const response = await fetch(`${issuer}/introspect`, {
    method: "POST",
    headers: { Authorization: `Bearer ${process.env.INTROSPECTION_TOKEN}` },
    body: new URLSearchParams({ token }),
    redirect: "error",
    signal: AbortSignal.timeout(5000),
  });
  // No answer says nothing about the token. The SDK makes 500 of it, on which no client throws its tokens away.
  if (!response.ok) throw new Error(`introspection answered ${response.status}`);
  return await response.json();
}

function build(): McpServer {
  const server = new McpServer({ name: "demo", version: "1.0.0" });
  server.registerTool("whoami", { description: "Say whom the token stands for" }, ({ authInfo }) => ({
    content: [{ type: "text", text: String(authInfo?.extra?.sub) }],
  }));
  return server;
}

const auth = requireBearerAuth({
  verifier,
  requiredScopes: ["mcp"],
  resourceMetadataUrl: metadataUrl.href,
  expectedResource: resource,
});

const app = express();

app.get(metadataUrl.pathname, (_request, response) => {
  response.set("Access-Control-Allow-Origin", "*");
  response.json({ resource: identifier, authorization_servers: [issuer], scopes_supported: ["mcp"] });
});

app.all(resource.pathname, auth, express.json(), async (request, response) => {
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  response.on("close", () => void transport.close());
  await build().connect(transport);
  await transport.handleRequest(request, response, request.body);
});

app.listen(Number(resource.port), resource.hostname);
