// What an app on the TypeScript SDK does when the server no longer takes its access token.

import { UnauthorizedError } from '@modelcontextprotocol/client'
import { call, connect, Provider } from './mcp_client.mjs'
import { input } from './person.mjs'

const { server, apiKey, method } = await input()
const seen = {}

const provider = new Provider({ method, apiKey })
const session = await connect(server, provider)
seen.before = await call(session, 'whoami')
seen.first = provider.kept.tokens

// An access token of these tests lives for a second, and a resource server may call it active until that second ends.
await new Promise((later) => setTimeout(later, 1000 * seen.first.expires_in + 1000))
seen.afterExpiry = await call(session, 'whoami')
seen.second = provider.kept.tokens
seen.askedForExpiry = provider.asked.length - 1
await session.close()

// Signed out: the access token and its refresh token are dead.
const body = { token: seen.second.refresh_token, client_id: provider.kept.client.client_id }
if (provider.kept.client.client_secret) body.client_secret = provider.kept.client.client_secret
const revoked = await fetch(`${provider.kept.client.issuer}/revoke`, { method: 'POST', body: new URLSearchParams(body) })
seen.revoked = revoked.status
const anew = await connect(server, provider)
seen.afterSigningOut = await call(anew, 'whoami')
seen.invalidated = provider.invalidated.splice(0)
seen.askedForSigningOut = provider.asked.length - 1
await anew.close()

// The registration is one that the server does not know, as after a change of its client keys.
provider.kept.client = { ...provider.kept.client, client_id: 'a-client-of-another-life' }
provider.kept.tokens = { ...provider.kept.tokens, access_token: 'expired' }
const registered = await connect(server, provider)
seen.afterRegistering = await call(registered, 'whoami')
seen.invalidatedForRegistering = provider.invalidated.splice(0)
await registered.close()

// A person who denies.
const denied = new Provider({ method, apiKey, decision: 'deny' })
try {
  await connect(server, denied)
} catch (thrown) {
  seen.denied = { name: thrown.constructor.name, message: thrown.message, unauthorized: thrown instanceof UnauthorizedError }
}
seen.keptOfDenied = denied.kept.tokens ?? null
seen.client = provider.kept.client
seen.third = provider.kept.tokens
console.log(JSON.stringify(seen))
