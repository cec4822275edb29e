// openid-client, the library that web applications on Node sign people in with: the whole way of one client.

import * as client from 'openid-client'
import { redirectUri, refusal } from './client.mjs'
import { input, signIn } from './person.mjs'

const { issuer, resource, apiKey, introspectionToken, method } = await input()
const options = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] }
const authentications = {
  none: client.None,
  client_secret_basic: client.ClientSecretBasic,
  client_secret_post: client.ClientSecretPost,
}

const metadata = {
  client_name: 'openid-client',
  redirect_uris: [redirectUri],
  token_endpoint_auth_method: method,
  grant_types: ['authorization_code', 'refresh_token'],
}
const config = await client.dynamicClientRegistration(new URL(issuer), metadata, authentications[method](), options)
const registration = config.clientMetadata()

const verifier = client.randomPKCECodeVerifier()
const state = `${client.randomState()}/+=`
const asked = {
  redirect_uri: redirectUri,
  scope: 'mcp',
  state,
  resource,
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
}
const checks = { pkceCodeVerifier: verifier, expectedState: state }

const answer = await signIn(client.buildAuthorizationUrl(config, asked), apiKey)
const foreign = new URL(answer)
foreign.searchParams.set('iss', 'https://attacker.example')
const mixedUp = await refusal(() => client.authorizationCodeGrant(config, foreign, checks))
const first = await client.authorizationCodeGrant(config, answer, checks, { resource })
const second = await client.refreshTokenGrant(config, first.refresh_token)

// A resource server asks as itself, under any name.
const basic = client.ClientSecretBasic(introspectionToken)
const asker = await client.discovery(new URL(issuer), 'resource server', undefined, basic, options)
const facts = await client.tokenIntrospection(asker, second.access_token)
await client.tokenRevocation(config, second.refresh_token)
const after = await client.tokenIntrospection(asker, second.access_token)
const refused = await refusal(() => client.refreshTokenGrant(config, second.refresh_token))

const denial = await signIn(client.buildAuthorizationUrl(config, asked), apiKey, 'deny')
const denied = await refusal(() => client.authorizationCodeGrant(config, denial, checks))
console.log(JSON.stringify({ registration, first, second, facts, after, refused, mixedUp, denied }))
