// Two servers on one Redis are one to supabase-js: of one version, and of two that run side by side while a cluster
// is upgraded or rolled back.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'

import { Balancer, hearEachOther, node, Redis } from './support/cluster.js'
import { Inbox, joined, listener, person, personV1, within } from './support/people.js'
import { PREVIOUS_PROGRAM, PROGRAM } from './support/server.js'

const secret = randomBytes(32).toString('base64')
const hello = { type: 'broadcast', event: 'hello', payload: { n: 1 } }

/** What may stand beside each other: titles, and the programs of the first and of the second. */
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

/** Keeps what a channel sees of presence: the refs of each key. */
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
    await hearEachOther([one, two])
  })
  after(async () => {
    await one.close()
    await two.close()
  })

  for (const [name, make] of [['V2', person], ['V1', personV1]]) {
    test(`${name}: a broadcast is heard on the other server`, async (t) => {
      const ann = await listener(make(t, one), `room ${name}`)
      const bob = await listener(make(t, two), `room ${name}`)
      for (let n = 0; n < 20; n++) await ann.channel.send({ ...hello, payload: { n } })
      for (let n = 0; n < 20; n++) assert.deepEqual((await bob.heard.next()).payload, { n })
      await bob.channel.send(hello)
      assert.deepEqual(await ann.heard.next(), hello)
    })
  }

  test('what is sent over HTTP is heard on the other server', async (t) => {
    const bob = await listener(person(t, two), 'http')
    const channel = person(t, one).channel('http')
    assert.equal(await channel.send(hello), 'ok')
    assert.deepEqual((await bob.heard.next()).payload, hello.payload)
  })

  test('everybody sees everybody, under the same refs, until they go', async (t) => {
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

  test('a rolling restart costs everybody one reconnect', async (t) => {
    const balancer = await Balancer.start(secret)
    const before = [await node(redis, secret, first), await node(redis, secret, first)]
    await hearEachOther(before, 4)
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
      const heard = new Inbox()
      channel.on('broadcast', { event: '*' }, heard.put)
      const member = { channel, heard, seen: watched(channel), joins: 0 }
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
    for (const { seen } of people) await seen.until(all, 'everybody')

    // The new ones first; then the old ones go, one after the other, with half of the people each.
    afterwards = [await node(redis, secret, second), await node(redis, secret, second)]
    await hearEachOther(afterwards, 6)
    balancer.servers = afterwards
    for (const server of before) {
      await server.stop()
      for (let n = 0; n < people.length / 2; n++) await returns.next('a return')
      // Those who have moved and those who have not hear each other.
      await people[0].channel.send(hello)
      for (const { heard } of people.slice(1)) assert.deepEqual(await heard.next(), hello)
    }
    for (const { seen } of people) await seen.until(all, 'everybody again')
    assert.deepEqual(people.map(({ joins }) => joins), people.map(() => 2))
  })
})
