// openid-client where it authenticates by a key: a pushed request, tokens bound by DPoP, and a client without a person.

import * as client from 'openid-client'
import { redirectUri } from './client.mjs'
import { input, signIn } from './person.mjs'

const { issuer, resource, apiKey, introspectionToken, key } = await input()
const options = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] }
const signing = { name: 'ECDSA', namedCurve: 'P-256' }
const privateKey = { key: await crypto.subtle.importKey('jwk', key, signing, false, ['sign']), kid: key.kid }
const as = (clientId, authentication) => client.discovery(new URL(issuer), clientId, {}, authentication, options)

const web = await as('web', client.PrivateKeyJwt(privateKey))
const DPoP = client.getDPoPHandle(web, await client.randomDPoPKeyPair('ES256'))
const verifier = client.randomPKCECodeVerifier()
const state = client.randomState()
const pushed = await client.buildAuthorizationUrlWithPAR(
  web,
  {
    redirect_uri: redirectUri,
    scope: 'mcp',
    state,
    resource,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  },
  { DPoP },
)
const answer = await signIn(pushed, apiKey)
const checks = { pkceCodeVerifier: verifier, expectedState: state }
const first = await client.authorizationCodeGrant(web, answer, checks, {}, { DPoP })
const second = await client.refreshTokenGrant(web, first.refresh_token, {}, { DPoP })

const robot = await as('signing-robot', client.PrivateKeyJwt(privateKey))
const machine = await client.clientCredentialsGrant(robot, { scope: 'mcp', resource })

const asker = await as('resource server', client.ClientSecretBasic(introspectionToken))
const facts = await client.tokenIntrospection(asker, second.access_token)
const machineFacts = await client.tokenIntrospection(asker, machine.access_token)
await client.tokenRevocation(web, second.refresh_token)
const after = await client.tokenIntrospection(asker, second.access_token)
const parameters = [...pushed.searchParams.keys()]
const thumbprint = await DPoP.calculateThumbprint()
console.log(JSON.stringify({ parameters, first, second, facts, thumbprint, machine, machineFacts, after }))
