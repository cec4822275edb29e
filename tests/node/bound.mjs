// oauth4webapi with a key: a pushed request, bound tokens, a protected resource, and what a thief without the key gets.

import * as oauth from 'oauth4webapi'
import { App, authentications, discover, discoverResource, input, insecure, introspect } from './client.mjs'
import { redirectUri, refusal, register } from './client.mjs'

const { issuer, resource, path, apiKey, introspectionToken, method, alg, push } = await input()
const as = await discover(issuer)
const protectedResource = await discoverResource(resource)
const client = await register(as, method)
const authentication = authentications[method](client.client_secret)
const proofs = async () => oauth.DPoP(client, await oauth.generateKeyPair(alg))
const own = await proofs()
let nonces = 0

/** Once more with the nonce of the answer, as the standard has it. */
async function retried(attempt) {
  try {
    return await attempt()
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    nonces += 1
    return attempt()
  }
}

const app = new App(as, client, resource)

async function pushed() {
  const parameters = (await app.authorizationUrl()).searchParams
  const asked = () => oauth.pushedAuthorizationRequest(as, client, authentication, parameters, { DPoP: own, ...insecure })
  return retried(async () => oauth.processPushedAuthorizationResponse(as, client, await asked()))
}

/** The code's request: pushed with a proof, or with the thumbprint of the key in the browser's URL. */
async function answer() {
  if (!push) return app.answer(apiKey, { dpop_jkt: await own.calculateThumbprint() })
  const { request_uri } = await pushed()
  const only = { response_type: '', redirect_uri: '', state: '', scope: '', resource: '', code_challenge: '' }
  return app.answer(apiKey, { ...only, code_challenge_method: '', request_uri })
}

const callback = app.validate(await answer())

const redeem = async (DPoP) => {
  const options = { additionalParameters: { resource }, DPoP, ...insecure }
  const request = oauth.authorizationCodeGrantRequest
  const response = await request(as, client, authentication, callback, redirectUri, app.verifier, options)
  return oauth.processAuthorizationCodeResponse(as, client, response)
}
const refresh = async (token, DPoP) => {
  const response = await oauth.refreshTokenGrantRequest(as, client, authentication, token, { DPoP, ...insecure })
  return oauth.processRefreshTokenResponse(as, client, response)
}
const fetched = async (token, DPoP) => {
  const headers = new Headers(DPoP ? {} : { authorization: `Bearer ${token}` })
  const url = new URL(`${resource}${path}?page=1`)
  if (!DPoP) return (await fetch(url, { headers })).status
  const response = await oauth.protectedResourceRequest(token, 'GET', url, headers, null, { DPoP, ...insecure })
  return response.status
}

const thief = await proofs()
const stolenCode = await refusal(() => retried(() => redeem(thief)))
const first = await retried(() => redeem(own))
const facts = await introspect(as, introspectionToken, first.access_token)
const second = await retried(() => refresh(first.refresh_token, own))
const seen = {
  as,
  protectedResource,
  client,
  nonces,
  first,
  second,
  facts,
  jkt: await own.calculateThumbprint(),
  stolenCode,
  stolenRefreshToken: await refusal(() => retried(() => refresh(second.refresh_token, thief))),
  bareRefreshToken: await refusal(() => refresh(second.refresh_token)),
  withTheKey: await fetched(second.access_token, own),
  withAnotherKey: await refusal(() => fetched(second.access_token, thief)),
  asBearer: await fetched(second.access_token),
}
console.log(JSON.stringify(seen))
