// The TypeScript SDK with DPoP: a code, and then a refresh, for tokens that are bound to the app's key.

import { auth, DpopSession } from '@modelcontextprotocol/client'
import { Provider } from './mcp_client.mjs'
import { input } from './person.mjs'

const { server, apiKey } = await input()
const session = await DpopSession.create({ alg: 'ES256' })
const provider = new Provider({ apiKey })
provider.dpop = () => session

const results = [await auth(provider, { serverUrl: server })]
const { searchParams: answer } = provider.answer
const redeemed = { authorizationCode: answer.get('code'), iss: answer.get('iss') }
results.push(await auth(provider, { serverUrl: server, ...redeemed }))
const first = provider.kept.tokens
results.push(await auth(provider, { serverUrl: server }))
console.log(JSON.stringify({ results, first, second: provider.kept.tokens, thumbprint: session.thumbprint, asked: provider.asked }))
