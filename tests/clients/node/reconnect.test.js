// A server that restarts on its port: supabase-js reconnects and rejoins its rooms by itself.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Inbox, listener, person, personV1 } from './support/people.js'
import { Server } from './support/server.js'

const hello = { type: 'broadcast', event: 'hello', payload: { n: 1 } }

for (const [name, make] of [['V2', person], ['V1', personV1]]) {
  test(`${name}: after a restart all clients are back in their rooms`, async (t) => {
    const server = await Server.start()
    t.after(() => server.close())
    const ann = await listener(make(t, server), 'room')
    const bob = await listener(make(t, server), 'room')
    await server.restart()
    for (const { statuses } of [ann, bob]) {
      const { status, reason } = await statuses.next('the error')
      assert.equal(status, 'CHANNEL_ERROR')
      assert.match(reason, /1012/)
      await statuses.until(({ status }) => status === 'SUBSCRIBED', 'the rejoin')
    }
    await ann.channel.send(hello)
    assert.deepEqual(await bob.received.next(), hello)
  })
}

test('presence is rebuilt by the clients that reconnect', async (t) => {
  const server = await Server.start()
  t.after(() => server.close())
  const events = new Inbox()
  const watching = person(t, server).channel('room', { config: { presence: { key: 'watcher' } } })
  // The ref of ann's entry: a different one after the restart, when her client has tracked it again.
  watching.on('presence', { event: 'sync' }, () => events.put(watching.presenceState().ann?.at(-1)?.presence_ref))
  watching.subscribe()
  const tracking = person(t, server).channel('room', { config: { presence: { key: 'ann' } } })
  // Tracks after every join, as applications do.
  tracking.subscribe((status) => status === 'SUBSCRIBED' && tracking.track({ here: true }))
  const before = await events.until((ref) => ref !== undefined, 'ann')
  await server.restart()
  // Either client may be back first, so the room may never be seen empty.
  await events.until((ref) => ref !== undefined && ref !== before, 'ann again')
})
