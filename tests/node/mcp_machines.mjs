// The TypeScript SDK's clients that need no person: client credentials, and an identity provider's assertions (ID-JAG).

import { ClientCredentialsProvider, CrossAppAccessProvider, PrivateKeyJwtProvider } from '@modelcontextprotocol/client'
import { call, connect } from './mcp_client.mjs'
import { input } from './person.mjs'

const { server, issuer, secret, key, assertions } = await input()
const named = (clientId) => ({ clientId, expectedIssuer: issuer })
const asked = []
const assertion = ({ authorizationServerUrl, resourceUrl }) => {
  asked.push([authorizationServerUrl, resourceUrl])
  return assertions.shift()
}
const providers = {
  secret: new ClientCredentialsProvider({ ...named('robot'), clientSecret: secret }),
  key: new PrivateKeyJwtProvider({ ...named('signing-robot'), privateKey: key, algorithm: 'ES256' }),
  assertion: new CrossAppAccessProvider({ ...named('agent'), clientSecret: secret, assertion }),
}

const subjects = {}
for (const [name, provider] of Object.entries(providers)) {
  const session = await connect(server, provider)
  subjects[name] = (await call(session, 'whoami')).subject
  await session.close()
}
console.log(JSON.stringify({ subjects, asked, tokens: Object.values(providers).map((provider) => provider.tokens()) }))
