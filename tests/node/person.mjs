// What every script beside this one begins with: its input, and a person at a browser.

import { text } from 'node:stream/consumers'

export const input = async () => JSON.parse(await text(process.stdin))

/** Open an authorization URL, sign in and decide; the URL that the browser is sent back to. */
export async function signIn(url, apiKey, decision = 'allow') {
  const page = await fetch(url, { redirect: 'manual' })
  if (page.status === 303) return new URL(page.headers.get('location'))
  const answer = await post(url, page, cookieOf(page), { api_key: apiKey, decision })
  return new URL(answer.headers.get('location'))
}

/** Enter the code that a device shows, sign in and allow it; the status of the last page. */
export async function allowDevice(url, userCode, apiKey) {
  const page = await fetch(url)
  const cookie = cookieOf(page)
  const consent = await post(url, page, cookie, { user_code: userCode })
  return (await post(url, consent, cookie, { api_key: apiKey, decision: 'allow' })).status
}

const cookieOf = (page) => page.headers.getSetCookie().map((line) => line.split(';')[0]).join('; ')

/** Post the form of a page with these fields, as the browser that it was shown in. */
async function post(url, page, cookie, fields) {
  const hidden = (await page.text()).matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)
  const form = Object.fromEntries([...hidden].map(([, name, value]) => [name, value]))
  const body = new URLSearchParams({ ...form, ...fields })
  return fetch(url, { method: 'POST', body, headers: { cookie }, redirect: 'manual' })
}
