// An app on the TypeScript SDK that calls a tool for which its token lacks a scope.

import { UnauthorizedError } from '@modelcontextprotocol/client'
import { connect, Provider } from './mcp_client.mjs'
import { input } from './person.mjs'

const { server, apiKey } = await input()
const provider = new Provider({ apiKey })
const session = await connect(server, provider)
const called = async (name, values = {}) => (await session.callTool({ name, arguments: values })).content[0].text
const scopes = [provider.kept.tokens.scope]
const answers = [await called('list_files')]

const remove = () => called('delete_file', { name: 'notes.txt' })
const interrupted = await remove().then(
  () => false,
  (thrown) => thrown instanceof UnauthorizedError,
)
// The person has been sent to the sign-in page by now; the app finishes, and calls again.
await session.transport.finishAuth(provider.answer.searchParams)
answers.push(await remove(), await called('list_files'))
scopes.push(provider.kept.tokens.scope)
await session.close()
console.log(JSON.stringify({ answers, interrupted, scopes, asked: provider.asked, tokens: provider.kept.tokens }))
