// Old and new versions of the official clients: each stays connected while it is silent, reconnects after every
// close code, is notified of a refused broadcast, and synchronises its presence.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test } from 'node:test'

import { within } from './support/people.js'
import { Server } from './support/server.js'
import { CLIENTS } from './support/versions.js'

const ADMIN_SECRET = 'the secret of the operators of these tests'
const SHORT_TIMEOUTS = {
  REALTIME__SERVER__PING_INTERVAL: '100ms',
  REALTIME__SERVER__IDLE_TIMEOUT: '500ms',
  REALTIME__SERVER__NO_CHANNEL_TIMEOUT: '500ms',
}

/** A server with the default limits, and one with short timeouts. */
let server, strict
before(async () => {
  server = await Server.start({ REALTIME__ADMIN__JWT_SECRET: ADMIN_SECRET })
  strict = await Server.start(SHORT_TIMEOUTS)
})
after(() => Promise.all([server.close(), strict.close()]))

/** What makes the server close a connection, by close code. */
const CAUSES = {
  1002: (socket) => socket._socket.write(Buffer.from([0xf1, 0x80, 0, 0, 0, 0])),
  1007: (socket) => socket.send(Buffer.from([0xff]), { binary: false }),
  1009: (socket) => socket.send('x'.repeat(5_000_001)),
  1012: async () => {
    const operator = Server.prototype.token.call({ secret: ADMIN_SECRET }, { role: undefined, sub: undefined })
    const headers = { authorization: `Bearer ${operator}` }
    const answer = await fetch(`${server.url}/admin/tenants/default/disconnect`, { method: 'POST', headers })
    assert.equal(answer.status, 200)
  },
}

/** Asserts that a member of a room with `self` is in it: it receives its own broadcast. */
async function receivesItself(member, name) {
  member.send(name, {})
  await member.received.until(({ event }) => event === name, `its own broadcast ${name}`)
}

for (const { name, load } of CLIENTS) {
  const room = (what) => `${name}: ${what}`

  test(`${name}: an oversized broadcast without ack is reported, and the channel stays`, async (t) => {
    const connect = await load()
    const ann = await connect(t, server).join(room('large'))
    const bob = await connect(t, server).join(room('large'))
    ann.send('large', { text: 'x'.repeat(3_500_000) })
    const { status, message } = await ann.notices.next('the notice')
    assert.deepEqual({ status, message }, { status: 'ok', message: 'payload_size_exceeded' })
    ann.send('small', { n: 1 })
    const { event, payload } = await bob.received.next()
    assert.deepEqual({ event, payload }, { event: 'small', payload: { n: 1 } })
    assert.ok(ann.joins.empty, 'it has not had to join again')
  })

  test(`${name}: a presence key without enabled is enough to receive presence`, async (t) => {
    const connect = await load()
    const ann = await connect(t, server).join(room('presence'), { presence: { key: 'ann' } })
    ann.track({ here: true })
    await ann.present.until((keys) => keys.includes('ann'), 'ann')
    const bob = await connect(t, server).join(room('presence'), { presence: { key: 'bob' } })
    await bob.present.until((keys) => keys.includes('ann'), 'ann, in the state')
    bob.track({ here: true })
    await ann.present.until((keys) => keys.includes('bob'), 'bob, in a diff')
  })

  test(`${name}: a silent client stays connected by answering pings`, async (t) => {
    const connect = await load()
    const ann = connect(t, strict)
    const socket = await ann.sockets.next('a connection')
    await ann.join(room('silent'), { broadcast: { self: true } })
    // Twice the idle timeout.
    for (let ping = 0; ping < 10; ping++) await within(once(socket, 'ping'), 'a ping')
    await receivesItself(ann, 'still')
    assert.ok(ann.joins.empty && ann.sockets.empty, 'all over one connection')
  })

  test(`${name}: a client that answers no ping reconnects after the idle timeout`, async (t) => {
    const connect = await load()
    const ann = connect(t, strict, { socketOptions: { autoPong: false } })
    const socket = await ann.sockets.next('a connection')
    await ann.join(room('idle'))
    assert.deepEqual(await socket.end(), { code: 1013, reason: 'idle timeout' })
    await ann.joins.next('the join over a new connection')
  })

  test(`${name}: a client without channels reconnects after it is closed`, async (t) => {
    const connect = await load()
    const ann = connect(t, strict)
    const socket = await ann.sockets.next('a connection')
    assert.deepEqual(await socket.end(), { code: 1013, reason: 'no channel joined' })
    await ann.sockets.next('a new connection')
    await ann.join(room('late'), { broadcast: { self: true } })
    await receivesItself(ann, 'here')
  })

  for (const [code, provoke] of Object.entries(CAUSES)) {
    test(`${name}: after close code ${code} the client is back in its room`, async (t) => {
      const connect = await load()
      const ann = connect(t, server)
      const socket = await ann.sockets.next('a connection')
      await ann.join(room(code), { broadcast: { self: true } })
      await provoke(socket)
      assert.equal((await socket.end()).code, Number(code))
      await ann.joins.next('the join over a new connection')
      await receivesItself(ann, 'back')
    })
  }
}
