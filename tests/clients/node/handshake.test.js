// How official clients connect: the token in a subprotocol, an additional slash in the address, a key in a header.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test } from 'node:test'

import { Socket } from 'phoenix-1.8'
import WebSocket from 'ws'

import { listener, person, within } from './support/people.js'
import { Server } from './support/server.js'

let server
before(async () => (server = await Server.start()))
after(() => server.close())

const address = () => `${server.url.replace('http', 'ws')}/realtime/v1`

test('phoenix.js 1.8 connects with authToken, which it offers as a subprotocol', async (t) => {
  const socket = new Socket(address(), { transport: WebSocket, authToken: server.token(), vsn: '2.0.0' })
  t.after(() => new Promise((resolve) => socket.disconnect(resolve)))
  socket.connect()
  const channel = socket.channel('realtime:room', { config: {} })
  const joined = new Promise((resolve, reject) => channel.join().receive('ok', resolve).receive('error', reject))
  await within(joined, 'the reply to the join')
  assert.equal(socket.conn.protocol, 'phoenix')
})

test('supabase-js connects although its address ends with a slash', async (t) => {
  const front = { url: `${server.url}/`, disconnects: server.disconnects, token: () => server.token() }
  const ann = await listener(person(t, front), 'room')
  const hello = { type: 'broadcast', event: 'hello', payload: { n: 1 } }
  const bob = await listener(person(t, server), 'room')
  assert.equal(await ann.channel.send(hello), 'ok')
  assert.deepEqual(await bob.received.next(), hello)
})

test('supabase-js names its tenant in params, for its requests too', async (t) => {
  const acme = new Server()
  const server = await Server.start({ REALTIME__TENANTS__ACME__AUTH__JWT_SECRET: acme.secret })
  t.after(() => server.close())
  const options = { token: acme.token(), realtime: { params: { tenant: 'acme' } } }
  const { received } = await listener(person(t, server, options), 'room')
  const sent = await person(t, server, options).channel('room').httpSend('hello', { n: 1 })
  assert.deepEqual(sent, { success: true })
  assert.deepEqual((await received.next()).payload, { n: 1 })
})

test('realtime-js connects although its address ends with two slashes', async (t) => {
  const socket = new WebSocket(`${address()}//websocket?apikey=${server.token()}&vsn=2.0.0`)
  t.after(() => socket.close())
  await within(once(socket, 'open'), 'the connection')
})

test('the key is accepted in the header apikey', async (t) => {
  const socket = new WebSocket(`${address()}/websocket?vsn=2.0.0`, { headers: { apikey: server.token() } })
  t.after(() => socket.close())
  await within(once(socket, 'open'), 'the connection')
})
