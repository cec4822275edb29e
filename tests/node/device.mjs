// A device with oauth4webapi: it asks for codes, polls too often, and gets tokens once the person has allowed it.

import * as oauth from 'oauth4webapi'
import { authentications, discover, input, insecure, refusal, register } from './client.mjs'
import { allowDevice } from './person.mjs'

const { issuer, resource, apiKey, method } = await input()
const as = await discover(issuer)
const grant = 'urn:ietf:params:oauth:grant-type:device_code'
const client = await register(as, method, { redirect_uris: [], grant_types: [grant, 'refresh_token'], response_types: [] })
const authentication = authentications[method](client.client_secret)

const asked = await oauth.deviceAuthorizationRequest(as, client, authentication, { scope: 'mcp', resource }, insecure)
const begun = await oauth.processDeviceAuthorizationResponse(as, client, asked)

async function poll() {
  const response = await oauth.deviceCodeGrantRequest(as, client, authentication, begun.device_code, insecure)
  return oauth.processDeviceCodeResponse(as, client, response)
}

const pending = [await refusal(poll), await refusal(poll)]
const allowed = await allowDevice(begun.verification_uri, begun.user_code, apiKey)

const first = await poll()
const refreshed = await oauth.refreshTokenGrantRequest(as, client, authentication, first.refresh_token, insecure)
const second = await oauth.processRefreshTokenResponse(as, client, refreshed)
const again = await refusal(poll)

console.log(JSON.stringify({ as, client, begun, pending, allowed, first, second, again }))
