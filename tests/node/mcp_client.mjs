// An app on the TypeScript SDK of MCP: it connects to a protected server, has a person sign in, and calls a tool.

import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client'
import { signIn } from './person.mjs'

export const redirectUri = 'http://127.0.0.1:33418/callback'

/** What an app keeps, and where it sends people. `kept` may be another installation's. */
export class Provider {
  constructor({ method = 'none', kept = {}, document, apiKey, decision = 'allow' }) {
    Object.assign(this, { method, kept, apiKey, decision, asked: [], invalidated: [] })
    this.clientMetadataUrl = document
  }

  redirectUrl = redirectUri

  get clientMetadata() {
    const grants = { grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] }
    const named = { client_name: 'TypeScript SDK', redirect_uris: [redirectUri] }
    return { ...named, ...grants, token_endpoint_auth_method: this.method }
  }

  state = () => `${crypto.randomUUID()}/+=`
  clientInformation = () => this.kept.client
  saveClientInformation = (client) => void (this.kept.client = client)
  tokens = () => this.kept.tokens
  saveTokens = (tokens) => void (this.kept.tokens = tokens)
  codeVerifier = () => this.kept.verifier
  saveCodeVerifier = (verifier) => void (this.kept.verifier = verifier)

  invalidateCredentials(what) {
    this.invalidated.push(what)
    if (what === 'all' || what === 'tokens') delete this.kept.tokens
    if (what === 'all' || what === 'client') delete this.kept.client
  }

  async redirectToAuthorization(url) {
    this.asked.push(String(url))
    this.answer = await signIn(url, this.apiKey, this.decision)
  }
}

/** A connected session, after a sign-in where the server asks for one. */
export async function connect(server, provider, options = {}) {
  const transport = () => new StreamableHTTPClientTransport(new URL(server), { authProvider: provider, ...options })
  const first = transport()
  try {
    return await open(first)
  } catch (thrown) {
    if (!(thrown instanceof UnauthorizedError)) throw thrown
    await first.finishAuth(provider.answer.searchParams)
    return await open(transport())
  }
}

async function open(transport) {
  const client = new Client({ name: 'tests', version: '1' })
  await client.connect(transport)
  return client
}

export async function call(client, name, values = {}) {
  const answer = await client.callTool({ name, arguments: values })
  if (answer.isError) throw new Error(JSON.stringify(answer.content))
  return answer.structuredContent
}
