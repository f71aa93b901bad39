// Earlier messages with supabase-js: of a private room, and of a public one that keeps its broadcasts.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'

import WebSocket from 'ws'

import { Inbox, joined, listener, person, subscribe } from './support/people.js'
import { Postgres } from './support/postgres.js'
import { Server } from './support/server.js'

let postgres
let server
before(async () => {
  postgres = await Postgres.start()
  server = await Server.start({
    REALTIME__TENANTS__DEFAULT__DATABASE__URL: postgres.url(),
    REALTIME__BROADCAST__HISTORY__ROOMS: '["chat:*"]',
  })
  server.command('migrate', '--tenant', 'default')
  postgres.sql('CREATE POLICY reads ON realtime.messages FOR SELECT TO authenticated USING (true)')
})
after(async () => {
  await server.close()
  await postgres.stop()
})

const message = (n) => ({ type: 'broadcast', event: 'hello', payload: { n } })
const signedIn = (t) => person(t, server, { token: server.token() })

/**
 * A channel that will ask for earlier messages. supabase-js refuses `replay` in the configuration of a public channel when
 * it is made, and sends what is there when it joins.
 */
function asking(client, topic, replay, config = {}) {
  const channel = client.channel(topic, { config })
  channel.params.config.broadcast = { ...channel.params.config.broadcast, replay }
  return channel
}

/** A channel that asks for earlier messages: its broadcasts and notices. */
async function replaying(client, topic, replay, config = {}) {
  const channel = asking(client, topic, replay, config)
  const [received, notices] = [new Inbox(), new Inbox()]
  channel.on('broadcast', { event: '*' }, received.put).on('system', {}, notices.put)
  await joined(channel)
  return { channel, received, notices }
}

test('a private channel receives what the database has sent before', async (t) => {
  postgres.sql(`
    SELECT realtime.send('{"n": 1}', 'first', 'room');
    SELECT realtime.send_binary('\\x0001ff', 'bytes', 'room')`)
  const { received } = await replaying(signedIn(t), 'room', { since: Date.now() - 60_000, limit: 10 }, { private: true })
  const first = await received.next()
  assert.deepEqual([first.event, first.payload.n, first.meta.replayed], ['first', 1, true])
  assert.equal(first.meta.id, postgres.sql(`SELECT id FROM realtime.messages WHERE event = 'first'`))
  const bytes = await received.next()
  assert.deepEqual([bytes.event, [...new Uint8Array(bytes.payload)]], ['bytes', [0, 1, 255]])
})

test('a public channel without history is refused', async (t) => {
  const channel = asking(person(t, server), 'public', { since: 0 })
  const { status, reason } = await subscribe(channel).next()
  assert.equal(status, 'CHANNEL_ERROR')
  assert.match(reason, /UnableToReplayMessages: Replay is not allowed for public channels/)
})

test('a client that comes back receives what it has missed, and nothing twice', async (t) => {
  const sender = await listener(person(t, server), 'chat:1', { broadcast: { ack: true } })
  const client = person(t, server)
  const { channel, received } = await listener(client, 'chat:1')
  await sender.channel.send(message(1))
  await sender.channel.send(message(2))
  const ids = [await received.next(), await received.next()].map(({ meta }) => meta.id)
  await client.removeChannel(channel)
  await sender.channel.send(message(3))
  const back = await replaying(client, 'chat:1', { after: ids })
  await sender.channel.send(message(4))
  const numbers = [await back.received.next(), await back.received.next()].map(({ payload }) => payload.n)
  assert.deepEqual(numbers, [3, 4])
  assert.ok(back.received.empty)
})

test('a client whose connection is lost misses nothing and receives nothing twice', async (t) => {
  const sender = await listener(person(t, server), 'chat:3', { broadcast: { ack: true } })
  let socket
  class LastSocket extends WebSocket {
    constructor(...options) {
      super(...options)
      socket = this
    }
  }
  const client = person(t, server, { realtime: { transport: LastSocket, reconnectAfterMs: () => 10 } })
  const ids = []
  const channel = asking(client, 'chat:3', { since: Date.now() - 60_000, after: ids })
  const received = new Inbox()
  channel.on('broadcast', { event: '*' }, (broadcast) => ids.push(broadcast.meta.id) && received.put(broadcast.payload.n))
  await joined(channel)
  // At most as many as one join is sent (`broadcast.history.max_replay`), because the client may not be back before the last.
  for (let n = 1; n <= 24; n++) {
    await sender.channel.send(message(n))
    if (n % 8 === 5) socket.terminate()
  }
  for (let n = 1; n <= 24; n++) assert.equal(await received.next(), n)
})

test('the program for a client that comes back notes the ids of messages that have one', async (t) => {
  const page = await readFile(new URL('../../../docs/protocol/history.md', import.meta.url), 'utf8')
  const program = page.match(/^ {4}const \[after, since\].*(\n {4}.*)*/m)[0]
  const run = new Function('client', `${program}\nreturn { after, channel }`)
  for (const [topic, ids] of [['chat:4', 1], ['unkept', 0]]) {
    const client = person(t, server)
    const { after, channel } = run({ channel: () => client.channel(topic) })
    if (!ids) delete channel.params.config.broadcast.replay
    const received = new Inbox()
    channel.on('broadcast', { event: '*' }, received.put)
    await joined(channel)
    const sender = await listener(person(t, server), topic)
    await sender.channel.send(message(1))
    assert.deepEqual((await received.next()).payload, { n: 1 })
    assert.equal(after.length, ids)
  }
})

test('a client learns that it may have missed messages, and stays', async (t) => {
  const sender = await listener(person(t, server), 'chat:2', { broadcast: { ack: true } })
  await sender.channel.send(message(1))
  const gone = '00000000-0000-0000-0000-000000000001'
  const { received, notices, channel } = await replaying(person(t, server), 'chat:2', { after: gone })
  const { status, message: text } = await notices.next()
  assert.deepEqual([status, text], ['ok', 'Earlier messages may be missing'])
  assert.equal((await received.next()).payload.n, 1)
  assert.equal(channel.state, 'joined')
})
