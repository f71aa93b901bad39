// To supabase-js, two servers on one Redis behave as one server: of one version, and of two versions that run together
// while a cluster is upgraded or rolled back.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'

import { Balancer, waitForCluster, node, Redis } from './support/cluster.js'
import { Inbox, joined, listener, person, personV1, within } from './support/people.js'
import { PREVIOUS_PROGRAM, PROGRAM } from './support/server.js'

const secret = randomBytes(32).toString('base64')
const hello = { type: 'broadcast', event: 'hello', payload: { n: 1 } }

/** Versions that may run together: a title, and the programs of the first and the second server. */
const pairs = [['two servers', PROGRAM, PROGRAM]]
if (PREVIOUS_PROGRAM) {
  pairs.push(['the previous version, then this one', PREVIOUS_PROGRAM, PROGRAM])
  pairs.push(['this version, then the previous one', PROGRAM, PREVIOUS_PROGRAM])
} else {
  test('two versions', { skip: 'REALTIME_SERVER_PREVIOUS is not set: see tests/previous-version' }, () => {})
}

let redis
before(async () => (redis = await Redis.start()))
after(() => redis.stop())

/** The presence states that a channel reports: the refs of each key. */
function watched(channel) {
  const seen = new Inbox()
  channel.on('presence', { event: 'sync' }, () => {
    const state = Object.entries(channel.presenceState())
    seen.put(Object.fromEntries(state.map(([key, metas]) => [key, metas.map((meta) => meta.presence_ref)])))
  })
  return seen
}

for (const [title, first, second] of pairs) describe(title, () => {
  let one, two
  before(async () => {
    one = await node(redis, secret, first)
    two = await node(redis, secret, second)
    await waitForCluster([one, two])
  })
  after(async () => {
    await one.close()
    await two.close()
  })

  for (const [name, make] of [['V2', person], ['V1', personV1]]) {
    test(`${name}: a broadcast is received on the other server`, async (t) => {
      const ann = await listener(make(t, one), `room ${name}`)
      const bob = await listener(make(t, two), `room ${name}`)
      for (let n = 0; n < 20; n++) await ann.channel.send({ ...hello, payload: { n } })
      for (let n = 0; n < 20; n++) assert.deepEqual((await bob.received.next()).payload, { n })
      await bob.channel.send(hello)
      assert.deepEqual(await ann.received.next(), hello)
    })
  }

  test('what is sent over HTTP is received on the other server', async (t) => {
    const bob = await listener(person(t, two), 'http')
    const channel = person(t, one).channel('http')
    assert.equal(await channel.send(hello), 'ok')
    assert.deepEqual((await bob.received.next()).payload, hello.payload)
  })

  test('all clients see each other, under the same refs, until they leave', async (t) => {
    const ann = person(t, one).channel('presence', { config: { presence: { key: 'ann' } } })
    const bob = person(t, two).channel('presence', { config: { presence: { key: 'bob' } } })
    const [annSees, bobSees] = [watched(ann), watched(bob)]
    await joined(ann)
    await joined(bob)
    assert.equal(await ann.track({ from: 'one' }), 'ok')
    assert.equal(await bob.track({ from: 'two' }), 'ok')
    const both = (refs) => refs.ann?.length === 1 && refs.bob?.length === 1
    assert.deepEqual(await annSees.until(both, 'both'), await bobSees.until(both, 'both'))
    await bob.unsubscribe()
    await annSees.until((refs) => refs.ann && !refs.bob, 'ann alone')
  })

  test('a rolling restart costs every client one reconnect', async (t) => {
    const balancer = await Balancer.start(secret)
    const before = [await node(redis, secret, first), await node(redis, secret, first)]
    await waitForCluster(before, 4)
    balancer.servers = before
    let afterwards = []
    t.after(async () => {
      balancer.stop()
      for (const server of [...before, ...afterwards]) await server.close()
    })
    const people = []
    const returns = new Inbox()
    for (let n = 0; n < 6; n++) {
      const channel = person(t, balancer).channel('rolling', { config: { presence: { key: `person ${n}` } } })
      const received = new Inbox()
      channel.on('broadcast', { event: '*' }, received.put)
      const member = { channel, received, seen: watched(channel), joins: 0 }
      const inside = new Promise((resolve) => {
        channel.subscribe(async (status) => {
          if (status !== 'SUBSCRIBED') return
          member.joins++
          await channel.track({ joins: member.joins })
          if (member.joins === 1) resolve()
          else returns.put(n)
        })
      })
      await within(inside, 'the join')
      people.push(member)
    }
    const all = (refs) => people.every((_, n) => refs[`person ${n}`]?.length === 1)
    for (const { seen } of people) await seen.until(all, 'all clients')

    // The new servers start first; then the old ones stop, one after the other, with half of the clients each.
    afterwards = [await node(redis, secret, second), await node(redis, secret, second)]
    await waitForCluster(afterwards, 6)
    balancer.servers = afterwards
    for (const server of before) {
      await server.stop()
      for (let n = 0; n < people.length / 2; n++) await returns.next('a return')
      // Clients of the old servers and of the new ones receive each other's broadcasts.
      await people[0].channel.send(hello)
      for (const { received } of people.slice(1)) assert.deepEqual(await received.next(), hello)
    }
    for (const { seen } of people) await seen.until(all, 'all clients again')
    assert.deepEqual(people.map(({ joins }) => joins), people.map(() => 2))
  })
})
