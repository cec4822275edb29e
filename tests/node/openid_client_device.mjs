// A device with openid-client, which polls by itself until the person has allowed it.

import * as client from 'openid-client'
import { allowDevice, input } from './person.mjs'

const { issuer, resource, apiKey } = await input()
const options = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] }
const grant = 'urn:ietf:params:oauth:grant-type:device_code'
const metadata = { client_name: 'Device', redirect_uris: [], grant_types: [grant, 'refresh_token'], response_types: [] }
const registered = { ...metadata, token_endpoint_auth_method: 'none' }
const config = await client.dynamicClientRegistration(new URL(issuer), registered, client.None(), options)

const begun = await client.initiateDeviceAuthorization(config, { scope: 'mcp', resource })
await allowDevice(begun.verification_uri, begun.user_code, apiKey)
// It waits for an interval before it asks, which is the server's to say, and here nothing.
const first = await client.pollDeviceAuthorizationGrant(config, { ...begun, interval: 0.1 })
const second = await client.refreshTokenGrant(config, first.refresh_token)
console.log(JSON.stringify({ begun, first, second }))
