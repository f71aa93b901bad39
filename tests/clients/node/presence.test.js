// Presence with supabase-js: track, update, untrack, two tabs, leaving.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { Inbox, joined, person, personV1 } from './support/people.js'
import { Server } from './support/server.js'

let server
before(async () => (server = await Server.start()))
after(() => server.close())

/** A member of a room that observes presence; `events` holds joins, leaves and syncs as they come. */
async function member(client, topic, key) {
  const channel = client.channel(topic, { config: { presence: { key } } })
  const events = new Inbox()
  for (const event of ['sync', 'join', 'leave']) {
    channel.on('presence', { event }, (what) => events.put({ ...what, event, state: channel.presenceState() }))
  }
  await joined(channel)
  return { channel, events }
}

/** The metas of each key, without refs. */
function metasByKey(state) {
  const strip = (metas) => metas.map(({ presence_ref, ...meta }) => meta)
  return Object.fromEntries(Object.entries(state).map(([key, metas]) => [key, strip(metas)]))
}

/** Waits until a member sees exactly this state. */
async function sees({ channel, events }, expected) {
  const same = () => JSON.stringify(sorted(metasByKey(channel.presenceState()))) === JSON.stringify(sorted(expected))
  if (!same()) await events.until(same, `${JSON.stringify(expected)} (now ${JSON.stringify(metasByKey(channel.presenceState()))})`)
}

function sorted(object) {
  return Object.fromEntries(Object.entries(object).sort())
}

for (const [name, make] of [['V2', person], ['V1', personV1]]) {
  test(`${name}: track, update and untrack are seen by all`, async (t) => {
    const ann = await member(make(t, server), `room ${name}`, 'ann')
    const bob = await member(make(t, server), `room ${name}`, 'bob')
    assert.equal(await ann.channel.track({ mood: 'good' }), 'ok')
    await sees(ann, { ann: [{ mood: 'good' }] })
    await sees(bob, { ann: [{ mood: 'good' }] })
    assert.equal(await bob.channel.track({ mood: 'new' }), 'ok')
    await sees(ann, { ann: [{ mood: 'good' }], bob: [{ mood: 'new' }] })
    assert.equal(await ann.channel.track({ mood: 'better' }), 'ok')
    await sees(bob, { ann: [{ mood: 'better' }], bob: [{ mood: 'new' }] })
    assert.equal(await ann.channel.untrack(), 'ok')
    await sees(bob, { bob: [{ mood: 'new' }] })
    await sees(ann, { bob: [{ mood: 'new' }] })
  })
}

test('a member that joins late receives the present state', async (t) => {
  const ann = await member(person(t, server), 'late', 'ann')
  await ann.channel.track({ since: 'early' })
  await sees(ann, { ann: [{ since: 'early' }] })
  const bob = await member(person(t, server), 'late', 'bob')
  await sees(bob, { ann: [{ since: 'early' }] })
})

test('two tabs are one key with two entries', async (t) => {
  const one = await member(person(t, server), 'tabs', 'ann')
  const client = person(t, server)
  const two = await member(client, 'tabs', 'ann')
  const bob = await member(person(t, server), 'tabs', 'bob')
  await one.channel.track({ tab: 1 })
  await sees(bob, { ann: [{ tab: 1 }] })
  await two.channel.track({ tab: 2 })
  await sees(bob, { ann: [{ tab: 1 }, { tab: 2 }] })
  await client.removeChannel(two.channel)
  await sees(bob, { ann: [{ tab: 1 }] })
})

test('a client that disconnects leaves', async (t) => {
  const client = person(t, server)
  const ann = await member(client, 'gone', 'ann')
  const bob = await member(person(t, server), 'gone', 'bob')
  await ann.channel.track({ here: true })
  await sees(bob, { ann: [{ here: true }] })
  client.realtime.disconnect()
  const { key, leftPresences } = await bob.events.until(({ event }) => event === 'leave')
  assert.equal(key, 'ann')
  assert.equal(leftPresences[0].here, true)
  await sees(bob, {})
})

test('without a key each member gets a random one', async (t) => {
  const ann = await member(person(t, server), 'keys', '')
  const bob = await member(person(t, server), 'keys', '')
  await ann.channel.track({ is: 'ann' })
  await bob.channel.track({ is: 'bob' })
  const both = () => Object.keys(ann.channel.presenceState()).length === 2
  if (!both()) await ann.events.until(both, 'two keys')
  for (const key of Object.keys(ann.channel.presenceState())) assert.match(key, /^[0-9a-f-]{36}$/)
})

test('all members of a room of twenty see the same state', async (t) => {
  const keys = Array.from({ length: 20 }, (_, n) => `user ${n}`)
  const members = await Promise.all(keys.map((key) => member(person(t, server), 'twenty', key)))
  await Promise.all(members.map(({ channel }, n) => channel.track({ n })))
  const all = Object.fromEntries(keys.map((key, n) => [key, [{ n }]]))
  for (const one of members) await sees(one, all)
})

// The state comes in parts then: a presence_state, and diffs that add the rest.
for (const [name, make] of [['V2', person], ['V1', personV1]]) {
  test(`${name}: a room that shows more than an outbox takes is seen whole`, async (t) => {
    const small = await Server.start({ REALTIME__OUTBOX__MAX_BYTES: '64 KiB' })
    t.after(() => small.close())
    const text = 'x'.repeat(10_000)
    const keys = Array.from({ length: 20 }, (_, n) => `user ${n}`)
    const members = await Promise.all(keys.map((key) => member(make(t, small), 'large', key)))
    await Promise.all(members.map(({ channel }, n) => channel.track({ n, text })))
    const all = Object.fromEntries(keys.map((key, n) => [key, [{ n, text }]]))
    await sees(members[0], all)
    // Some change while others join.
    const joins = [member(make(t, small), 'large', 'late 1'), member(make(t, small), 'large', 'late 2')]
    await Promise.all([members[3].channel.untrack(), members[4].channel.track({ n: 'new' }), ...joins])
    delete all['user 3']
    all['user 4'] = [{ n: 'new' }]
    for (const late of await Promise.all(joins)) await sees(late, all)
    for (const one of members) await sees(one, all)
  })
}
