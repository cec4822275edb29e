// The whole way of one client: discovery, registration, code, tokens, introspection, refresh, revocation.

import { App, discover, discoverResource, input, introspect, refusal, register } from './client.mjs'

const { issuer, resource, apiKey, introspectionToken, method } = await input()
const as = await discover(issuer)
const protectedResource = await discoverResource(resource)
const client = await register(as, method)
const app = new App(as, client, protectedResource.resource)

const callback = app.validate(await app.answer(apiKey))
const first = await app.redeem(callback)
const facts = await introspect(as, introspectionToken, first.access_token)
const factsByBearer = await introspect(as, introspectionToken, first.access_token, 'bearer')

const second = await app.refresh(first.refresh_token)
const again = await app.refresh(first.refresh_token)
const jti = async (tokens) => (await introspect(as, introspectionToken, tokens.access_token)).jti
const refreshed = [await jti(second), await jti(again)]

await app.revoke(second.access_token)
const afterAccess = await introspect(as, introspectionToken, second.access_token)
const third = await app.refresh(second.refresh_token)
await app.revoke(third.refresh_token)
const afterRefresh = await introspect(as, introspectionToken, third.access_token)
const refreshAfterRevocation = await refusal(() => app.refresh(third.refresh_token))

const seen = { as, protectedResource, client, callback: Object.fromEntries(callback), state: app.state }
const tokens = { first, second, facts, factsByBearer, refreshed, afterAccess, afterRefresh, refreshAfterRevocation }
console.log(JSON.stringify({ ...seen, ...tokens }))
