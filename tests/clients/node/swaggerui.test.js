// The page that shows the OpenAPI document, in jsdom, which runs its script. That browsers allow the script, and that they
// allow nothing else, is in the page's policy (tests/e2e/openapi.rs).

import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { after, before, test } from 'node:test'

import { JSDOM } from 'jsdom'

import { Server, TIMEOUT_MS } from './support/server.js'

const OPERATORS = 'the secret of the operators, of thirty-two bytes'

let server
before(async () => (server = await Server.start({ API_JWT_SECRET: OPERATORS })))
after(() => server.close())

/** The page at a path, once it shows the document, and the requests that it sends. */
async function open(t, path) {
  const requests = []
  const beforeParse = (window) => {
    Object.assign(window, { Headers, URLSearchParams })
    window.fetch = (...request) => {
      requests.push(request)
      return fetch(...request)
    }
  }
  const options = { runScripts: 'dangerously', resources: 'usable', beforeParse }
  const { window } = await JSDOM.fromURL(`${server.url}${path}`, options)
  t.after(() => window.close())
  await until(window, () => window.document.querySelector('details'))
  return { window, document: window.document, requests }
}

/** Waits for a change of the page after which `holds` returns something. */
function until(window, holds) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(window.document.body.textContent)), TIMEOUT_MS)
    const check = () => {
      const found = holds()
      if (!found) return
      clearTimeout(timer)
      observer.disconnect()
      resolve(found)
    }
    const observer = new window.MutationObserver(check)
    observer.observe(window.document.body, { childList: true, subtree: true, characterData: true })
    check()
  })
}

/** Sends the form of an operation, and returns what the page shows of the response. */
function send(window, id) {
  const details = window.document.getElementById(id)
  details.querySelector('form').requestSubmit()
  const output = details.querySelector('form + pre')
  return until(window, () => /^\d/.test(output.textContent) && output.textContent)
}

function operatorToken() {
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString('base64url')
  const text = [{ alg: 'HS256', typ: 'JWT' }, { exp: Math.floor(Date.now() / 1000) + 3600 }].map(encode).join('.')
  return `${text}.${createHmac('sha256', OPERATORS).update(text).digest('base64url')}`
}

for (const path of ['/swaggerui', '/realtime/v1/swaggerui/']) {
  test(`${path} shows every operation, and asks no other host`, async (t) => {
    const { document, requests } = await open(t, path)
    const api = await (await fetch(`${server.url}/api/openapi`)).json()
    const ids = Object.values(api.paths).flatMap((item) => Object.values(item).map((one) => one.operationId))
    const shown = [...document.querySelectorAll('details')].map((details) => details.id)
    assert.deepEqual(shown.sort(), ids.filter((id) => id).sort())
    assert.deepEqual(requests.map(([target]) => new URL(target).origin), [server.url])
  })
}

test('a form sends a request with the token, the parameters and the body', async (t) => {
  const { window, document } = await open(t, '/realtime/v1/swaggerui')
  assert.match(await send(window, 'listTenants'), /^403/)
  document.getElementById('token').value = operatorToken()
  const put = document.getElementById('putTenant').querySelector('form')
  put.elements.tenant_id.value = 'acme'
  put.elements.body.value = JSON.stringify({ tenant: { jwt_secret: 'a secret of thirty-two bytes or more' } })
  assert.match(await send(window, 'putTenant'), /^201\n[^]*location: \/api\/tenants\/acme\n[^]*"external_id":"acme"/)
  assert.match(await send(window, 'listTenants'), /^200\n[^]*"external_id":"acme"/)
  // At the root also where the page is below a prefix.
  assert.match(await send(window, 'getStatus'), /^200/)
})
