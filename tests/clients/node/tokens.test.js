// Tokens with supabase-js: refresh, expiry, and rejoining with a new token.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { Inbox, listener, person, signedIn } from './support/people.js'
import { Server } from './support/server.js'

let server
before(async () => (server = await Server.start()))
after(() => server.close())

const hello = { type: 'broadcast', event: 'hello', payload: { n: 1 } }

test('a channel whose token expires fails, and rejoins with a new token', async (t) => {
  const { client, refresh } = await signedIn(t, server, server.tokenFor(2))
  const channel = client.channel('expiry')
  const [statuses, system, received] = [new Inbox(), new Inbox(), new Inbox()]
  channel.on('system', {}, system.put).on('broadcast', { event: '*' }, received.put)
  channel.subscribe((status) => statuses.put(status))
  assert.equal(await statuses.next(), 'SUBSCRIBED')
  assert.match((await system.next('the notice')).message, /^Token has expired \d+ seconds ago$/)
  assert.equal(await statuses.next(), 'CHANNEL_ERROR')
  await refresh(server.token())
  await statuses.until((status) => status === 'SUBSCRIBED', 'the rejoin')
  const bob = await listener(person(t, server), 'expiry')
  await bob.channel.send(hello)
  assert.deepEqual(await received.next(), hello)
})

test('a channel with a refreshed token stays joined', async (t) => {
  const ann = await signedIn(t, server, server.tokenFor(2))
  const refreshed = await listener(ann.client, 'refreshed')
  // A second client with a later token, which is not refreshed, shows when the first token has expired.
  const expiring = await signedIn(t, server, server.tokenFor(2))
  const other = await listener(expiring.client, 'not refreshed')
  await ann.refresh(server.token())
  assert.equal((await other.statuses.next()).status, 'CHANNEL_ERROR')
  const bob = await listener(person(t, server), 'refreshed')
  await bob.channel.send(hello)
  assert.deepEqual(await refreshed.received.next(), hello)
  assert.ok(refreshed.statuses.empty)
})
