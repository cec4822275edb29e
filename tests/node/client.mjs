// oauth4webapi against a replica, with a person at a browser in between. Scripts beside this one read their input as
// JSON on standard input and print what they saw as JSON; the tests in tests/interop judge it.

import * as oauth from 'oauth4webapi'
import { signIn } from './person.mjs'

export { input } from './person.mjs'

// The replicas of tests are on plain http, which the library takes for loopback and tests alone.
export const insecure = { [oauth.allowInsecureRequests]: true }
export const redirectUri = 'http://127.0.0.1:33418/callback'

export const authentications = {
  none: () => oauth.None(),
  client_secret_basic: (secret) => oauth.ClientSecretBasic(secret),
  client_secret_post: (secret) => oauth.ClientSecretPost(secret),
}

export async function discover(issuer) {
  const url = new URL(issuer)
  const response = await oauth.discoveryRequest(url, { algorithm: 'oauth2', ...insecure })
  return oauth.processDiscoveryResponse(url, response)
}

export async function discoverResource(resource) {
  const url = new URL(resource)
  return oauth.processResourceDiscoveryResponse(url, await oauth.resourceDiscoveryRequest(url, insecure))
}

export async function register(as, method, changes = {}) {
  const metadata = {
    client_name: 'oauth4webapi',
    redirect_uris: [redirectUri],
    token_endpoint_auth_method: method,
    grant_types: ['authorization_code', 'refresh_token'],
    ...changes,
  }
  const response = await oauth.dynamicClientRegistrationRequest(as, metadata, insecure)
  return oauth.processDynamicClientRegistrationResponse(response)
}

/** A registered client that asks `as` for codes and tokens for `resource`. */
export class App {
  constructor(as, client, resource) {
    Object.assign(this, { as, client, resource })
    this.authentication = authentications[client.token_endpoint_auth_method](client.client_secret)
    this.verifier = oauth.generateRandomCodeVerifier()
    this.state = `${oauth.generateRandomState()}/+=`
  }

  async authorizationUrl(changes = {}) {
    const url = new URL(this.as.authorization_endpoint)
    const parameters = {
      response_type: 'code',
      client_id: this.client.client_id,
      redirect_uri: redirectUri,
      state: this.state,
      scope: 'mcp',
      resource: this.resource,
      code_challenge: await oauth.calculatePKCECodeChallenge(this.verifier),
      code_challenge_method: 'S256',
      ...changes,
    }
    for (const [name, value] of Object.entries(parameters)) {
      if (value) url.searchParams.set(name, value)
    }
    return url
  }

  /** Sign in and decide; the URL that the browser is sent back to. */
  async answer(apiKey, { decision = 'allow', ...changes } = {}) {
    return signIn(await this.authorizationUrl(changes), apiKey, decision)
  }

  validate(answer, state = this.state) {
    return oauth.validateAuthResponse(this.as, this.client, answer, state)
  }

  async redeem(callback, verifier = this.verifier) {
    const { as, client, authentication } = this
    const options = { additionalParameters: { resource: this.resource }, ...insecure }
    const request = oauth.authorizationCodeGrantRequest
    const response = await request(as, client, authentication, callback, redirectUri, verifier, options)
    return oauth.processAuthorizationCodeResponse(as, client, response)
  }

  async refresh(token) {
    const { as, client, authentication } = this
    const response = await oauth.refreshTokenGrantRequest(as, client, authentication, token, insecure)
    return oauth.processRefreshTokenResponse(as, client, response)
  }

  async revoke(token) {
    const { as, client, authentication } = this
    return oauth.processRevocationResponse(await oauth.revocationRequest(as, client, authentication, token, insecure))
  }
}

const bearer = (secret) => (_as, _client, _body, headers) => headers.set('authorization', `Bearer ${secret}`)

/** A resource server, which is a client of /introspect under any name, by the password of Basic or by a bearer. */
export async function introspect(as, secret, token, by = oauth.ClientSecretBasic) {
  const resourceServer = { client_id: 'resource server' }
  const authentication = by === 'bearer' ? bearer(secret) : by(secret)
  const response = await oauth.introspectionRequest(as, resourceServer, authentication, token, insecure)
  return oauth.processIntrospectionResponse(as, resourceServer, response)
}

/** What the library threw, or that it was content. */
export async function refusal(attempt) {
  try {
    await attempt()
    return { thrown: null }
  } catch (thrown) {
    const challenges = thrown instanceof oauth.WWWAuthenticateChallengeError ? thrown.cause : undefined
    const { name, code, error, status, message } = thrown
    return { thrown: name, code, error, status, message, challenges }
  }
}
