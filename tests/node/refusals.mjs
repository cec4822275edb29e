// What the library makes of every refusal: an error of its own with the standard's code, never a parse error.

import * as oauth from 'oauth4webapi'
import { App, authentications, discover, discoverResource, input, insecure, introspect } from './client.mjs'
import { refusal, register } from './client.mjs'

const { issuer, resource, apiKey, introspectionToken } = await input()
const as = await discover(issuer)
const app = async (method) => new App(as, await register(as, method), resource)
const open = await app('none')
const answer = await open.answer(apiKey)
const seen = {}

const changed = (name, value) => {
  const url = new URL(answer)
  if (value === undefined) url.searchParams.delete(name)
  else url.searchParams.set(name, value)
  return url
}
seen.foreignIssuer = await refusal(() => open.validate(changed('iss', 'https://attacker.example')))
seen.missingIssuer = await refusal(() => open.validate(changed('iss')))
seen.foreignState = await refusal(() => open.validate(answer, 'another state'))

const asked = async (changes) => open.validate(await open.answer(apiKey, changes))
seen.denied = await refusal(() => asked({ decision: 'deny' }))
seen.foreignResource = await refusal(() => asked({ resource: 'https://elsewhere.example/' }))
seen.withoutPkce = await refusal(() => asked({ code_challenge: '', code_challenge_method: '' }))
seen.tokenResponseType = await refusal(() => asked({ response_type: 'token' }))

const callback = open.validate(answer)
seen.foreignVerifier = await refusal(() => open.redeem(callback, oauth.generateRandomCodeVerifier()))
const tokens = await open.redeem(callback)
seen.replayedCode = await refusal(() => open.redeem(callback))
seen.afterReplay = await introspect(as, introspectionToken, tokens.access_token)
seen.refreshAfterReplay = await refusal(() => open.refresh(tokens.refresh_token))
seen.foreignRefreshToken = await refusal(() => open.refresh('not-a-token'))

for (const method of ['client_secret_basic', 'client_secret_post']) {
  const impostor = await app(method)
  impostor.authentication = authentications[method]('not the secret')
  seen[method] = await refusal(() => impostor.refresh(tokens.refresh_token))
}
const stranger = await app('none')
stranger.client = { ...stranger.client, client_id: 'a-client-of-another-life' }
seen.unknownClient = await refusal(() => stranger.refresh(tokens.refresh_token))

seen.introspectionSecret = await refusal(() => introspect(as, 'not the secret', tokens.access_token, 'bearer'))
seen.redirectUri = await refusal(() => register(as, 'none', { redirect_uris: ['http://app.example/callback'] }))
seen.authMethod = await refusal(() => register(as, 'private_key_jwt'))
seen.openid = await refusal(async () => {
  const url = new URL(issuer)
  return oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, { algorithm: 'oidc', ...insecure }))
})
seen.foreignDiscovery = await refusal(() => discover(`${issuer}/other`))
seen.foreignResourceDiscovery = await refusal(() => discoverResource(`${resource}/other`))
console.log(JSON.stringify(seen))
