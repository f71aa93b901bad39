// supabase-js over wss:// and https://, with nothing between it and the server.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { listener, person } from './support/people.js'
import { Server } from './support/server.js'

// The certificate is self-signed. This file runs in a process of its own.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'

test('supabase-js broadcasts over TLS, by socket and by request', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tls-'))
  t.after(() => rm(folder, { recursive: true }))
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => join(folder, name))
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  execFileSync('openssl', ['req', ...kind, ...subject, '-keyout', key, '-out', cert], { stdio: 'ignore' })
  const server = await Server.start({ REALTIME__SERVER__TLS__CERT_FILE: cert, REALTIME__SERVER__TLS__KEY_FILE: key })
  t.after(() => server.close())
  assert.match(server.url, /^https:/)

  const ann = await listener(person(t, server), 'room')
  const bob = await listener(person(t, server), 'room')
  const hello = { type: 'broadcast', event: 'hello', payload: { n: 1 } }
  assert.equal(await ann.channel.send(hello), 'ok')
  assert.deepEqual(await bob.received.next(), hello)
  // Not joined, hence by HTTP.
  const outside = person(t, server).channel('room')
  assert.deepEqual(await outside.httpSend('hello', { n: 2 }), { success: true })
  assert.deepEqual((await bob.received.next()).payload, { n: 2 })
})
