// Broadcast with supabase-js: self, acknowledgement, others; both serializers and bytes in one room.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { RealtimeClient } from '@supabase/realtime-js'
import WebSocket from 'ws'

import { Inbox, joined, listener, person, personV1 } from './support/people.js'
import { Server } from './support/server.js'

let server
before(async () => (server = await Server.start()))
after(() => server.close())

const hello = { type: 'broadcast', event: 'hello', payload: { n: 1 } }

for (const [name, make] of [['V2', person], ['V1', personV1]]) {
  test(`${name}: the others receive a broadcast, its sender does not`, async (t) => {
    const ann = await listener(make(t, server), `room ${name}`)
    const bob = await listener(make(t, server), `room ${name}`)
    assert.equal(await ann.channel.send(hello), 'ok')
    assert.deepEqual(await bob.received.next(), hello)
    await bob.channel.send({ ...hello, payload: { n: 2 } })
    // Had ann received her own broadcast, it would have come first.
    assert.deepEqual((await ann.received.next()).payload, { n: 2 })
  })

  test(`${name}: with self the sender receives it, with ack its send is acknowledged`, async (t) => {
    const ann = await listener(make(t, server), `self ${name}`, { broadcast: { self: true, ack: true } })
    assert.equal(await ann.channel.send(hello), 'ok')
    assert.deepEqual(await ann.received.next(), hello)
  })
}

test('fifty messages arrive complete and in order', async (t) => {
  const ann = await listener(person(t, server), 'order')
  const bob = await listener(person(t, server), 'order')
  for (let n = 0; n < 50; n++) await ann.channel.send({ ...hello, payload: { n } })
  for (let n = 0; n < 50; n++) assert.deepEqual((await bob.received.next()).payload, { n })
})

test('both serializers and bytes meet in one room', async (t) => {
  const ann = await listener(person(t, server), 'mixed')
  const bob = await listener(personV1(t, server), 'mixed')
  const cid = await listener(person(t, server), 'mixed')
  await ann.channel.send(hello)
  assert.deepEqual(await bob.received.next(), hello)
  assert.deepEqual(await cid.received.next(), hello)
  await bob.channel.send({ ...hello, payload: { n: 2 } })
  assert.deepEqual((await ann.received.next()).payload, { n: 2 })
  assert.deepEqual((await cid.received.next()).payload, { n: 2 })
  const bytes = new Uint8Array([1, 2, 255]).buffer
  await ann.channel.send({ type: 'broadcast', event: 'bytes', payload: bytes })
  const received = await cid.received.next()
  assert.equal(received.event, 'bytes')
  assert.deepEqual(new Uint8Array(received.payload), new Uint8Array(bytes))
  // V1 cannot carry bytes: its client receives the next message instead.
  await ann.channel.send({ ...hello, payload: { n: 3 } })
  assert.deepEqual((await bob.received.next()).payload, { n: 3 })
})

test('bytes are acknowledged and come back to their sender byte for byte', async (t) => {
  const ann = await listener(person(t, server), 'bytes', { broadcast: { self: true, ack: true } })
  const bytes = Uint8Array.from({ length: 70_000 }, (_, n) => n % 251)
  assert.equal(await ann.channel.send({ type: 'broadcast', event: 'b', payload: bytes.buffer }), 'ok')
  assert.deepEqual(new Uint8Array((await ann.received.next()).payload), bytes)
})

test('rooms are separate, and a room that was left is silent', async (t) => {
  const client = person(t, server)
  const here = await listener(client, 'here')
  const there = await listener(client, 'there')
  const bob = person(t, server)
  const bobHere = await listener(bob, 'here')
  const bobThere = await listener(bob, 'there')
  await bobThere.channel.send(hello)
  assert.deepEqual(await there.received.next(), hello)
  await client.removeChannel(here.channel)
  await bobHere.channel.send(hello)
  await bobThere.channel.send({ ...hello, payload: { n: 2 } })
  assert.deepEqual((await there.received.next()).payload, { n: 2 })
  assert.ok(here.received.empty)
})

test('a hundred topics share one socket', async (t) => {
  const ann = person(t, server)
  const bob = person(t, server)
  const topics = Array.from({ length: 100 }, (_, n) => `topic ${n}`)
  const listeners = await Promise.all(topics.map((topic) => listener(ann, topic)))
  const senders = await Promise.all(topics.map((topic) => listener(bob, topic)))
  for (const [n, { channel }] of senders.entries()) await channel.send({ ...hello, payload: { n } })
  for (const [n, { received }] of listeners.entries()) assert.deepEqual((await received.next()).payload, { n })
  assert.equal(ann.realtime.getChannels().length, 100)
})

test('realtime-js without supabase-js, at each path of the server', async (t) => {
  const make = (path) => {
    const client = new RealtimeClient(`ws://127.0.0.1:${server.port}${path}`, {
      params: { apikey: server.token() },
      transport: WebSocket,
    })
    t.after(() => client.disconnect())
    return client
  }
  const received = new Inbox()
  const receiving = make('/socket').channel('alone').on('broadcast', { event: 'hello' }, received.put)
  await joined(receiving)
  const sending = make('/realtime/v1').channel('alone')
  await joined(sending)
  await sending.send(hello)
  assert.deepEqual(await received.next(), hello)
})
