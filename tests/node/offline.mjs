// jose as a resource server that verifies JWT access tokens (RFC 9068 §4) without asking: it knows the issuer alone.

import { createRemoteJWKSet, jwtVerify } from 'jose'
import { input } from './person.mjs'

const { issuer, audience, tokens } = await input()
const discovered = await fetch(`${issuer}/.well-known/oauth-authorization-server`)
const { jwks_uri: jwksUri } = await discovered.json()
const keys = createRemoteJWKSet(new URL(jwksUri))

async function verify(token) {
  try {
    const { payload, protectedHeader } = await jwtVerify(token, keys, { issuer, audience, typ: 'at+jwt' })
    return { payload, header: protectedHeader }
  } catch ({ code, claim }) {
    return { code, claim }
  }
}

const seen = {}
for (const [name, token] of Object.entries(tokens)) seen[name] = await verify(token)
console.log(JSON.stringify({ jwksUri, seen }))
