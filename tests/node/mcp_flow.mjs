// The whole way of an app on the TypeScript SDK, and what an installation that finds its storage does.

import { call, connect, Provider } from './mcp_client.mjs'
import { input } from './person.mjs'

const { server, apiKey, method, document } = await input()
const provider = new Provider({ method, apiKey, document })
const session = await connect(server, provider)
const tools = (await session.listTools()).tools.map((tool) => tool.name)
const sum = await call(session, 'add', { a: 40, b: 2 })
const me = await call(session, 'whoami')
await session.close()

const again = new Provider({ method, apiKey, document, kept: provider.kept })
const second = await connect(server, again)
const meAgain = await call(second, 'whoami')
await second.close()

const { client, tokens } = provider.kept
const answer = Object.fromEntries(provider.answer.searchParams)
console.log(JSON.stringify({ tools, sum, me, meAgain, client, tokens, answer, asked: provider.asked, askedAgain: again.asked }))
