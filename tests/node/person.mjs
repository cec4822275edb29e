// What every script beside this one begins with: its input, and a person at a browser.

import { text } from 'node:stream/consumers'

export const input = async () => JSON.parse(await text(process.stdin))

/** Open an authorization URL, sign in and decide; the URL that the browser is sent back to. */
export async function signIn(url, apiKey, decision = 'allow') {
  const page = await fetch(url, { redirect: 'manual' })
  if (page.status === 303) return new URL(page.headers.get('location'))
  const cookie = page.headers.getSetCookie().map((line) => line.split(';')[0]).join('; ')
  const hidden = (await page.text()).matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)
  const form = Object.fromEntries([...hidden].map(([, name, value]) => [name, value]))
  const body = new URLSearchParams({ ...form, api_key: apiKey, decision })
  const answer = await fetch(url, { method: 'POST', body, headers: { cookie }, redirect: 'manual' })
  return new URL(answer.headers.get('location'))
}
