// HTTP broadcast with supabase-js: `send` before the join, and `httpSend`.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { listener, person, personV1 } from './support/people.js'
import { Server } from './support/server.js'

let server
before(async () => (server = await Server.start()))
after(() => server.close())

const hello = { type: 'broadcast', event: 'hello', payload: { n: 1 } }

test('send before subscribe goes over HTTP and reaches both serializers', async (t) => {
  const [bob, cid] = [await listener(person(t, server), 'rest'), await listener(personV1(t, server), 'rest')]
  assert.equal(await person(t, server).channel('rest').send(hello), 'ok')
  assert.deepEqual(await bob.received.next(), hello)
  assert.deepEqual(await cid.received.next(), hello)
})

test('httpSend reaches both serializers', async (t) => {
  const topic = 'game:7/left side'
  const [bob, cid] = [await listener(person(t, server), topic), await listener(personV1(t, server), topic)]
  const answer = await person(t, server).channel(topic).httpSend('hello', { n: 1 })
  assert.deepEqual(answer, { success: true })
  assert.deepEqual(await bob.received.next(), hello)
  assert.deepEqual(await cid.received.next(), hello)
})

test('httpSend carries bytes', async (t) => {
  const bob = await listener(person(t, server), 'octets')
  const bytes = new Uint8Array([1, 2, 255])
  const answer = await person(t, server).channel('octets').httpSend('bytes', bytes.buffer)
  assert.deepEqual(answer, { success: true })
  assert.deepEqual(new Uint8Array((await bob.received.next()).payload), bytes)
})

test('with a bad token it is refused, with the reason', async (t) => {
  const unauthorised = person(t, server, { token: 'not-a-jwt' })
  const answer = await unauthorised.channel('room').httpSend('hello', { n: 1 }).catch((error) => error)
  assert.match(JSON.stringify(answer.error ?? answer.message), /Unauthorized/)
  assert.equal(await unauthorised.channel('room').send(hello), 'error')
})
