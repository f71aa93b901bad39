// Postgres Changes with supabase-js: what the clients of an application receive of the changes of its tables.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import WebSocket from 'ws'

import { Inbox, joined, person, signedIn } from './support/people.js'
import { Postgres } from './support/postgres.js'
import { Server } from './support/server.js'
import { CLIENTS } from './support/versions.js'

const TABLES = `
  CREATE TABLE todos (id int PRIMARY KEY, title text, price numeric, done boolean);
  CREATE TABLE notes (id int PRIMARY KEY, owner text, body text);
  ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
  CREATE POLICY own ON notes FOR SELECT TO authenticated USING ((SELECT auth.jwt() ->> 'sub') = owner);
  GRANT SELECT ON todos, notes TO authenticated;
  ALTER PUBLICATION supabase_realtime ADD TABLE todos, notes`

const ALL = { event: '*', schema: 'public', table: 'todos' }

let postgres
let server
before(async () => {
  postgres = await Postgres.start()
  server = await Server.start({ REALTIME__TENANTS__DEFAULT__DATABASE__URL: postgres.url() })
  server.command('migrate', '--tenant', 'default', '--auth-helpers')
  postgres.sql(TABLES)
})
after(async () => {
  await server.close()
  await postgres.stop()
})

/** A row whose key no other test has. */
let keys = 0
const key = () => ++keys
/** A client of a user; each token is another one. */
let numbers = 0
const token = (sub) => server.token({ sub, number: numbers++ })

/** Waits until a channel receives changes. */
const subscribed = (notices) => notices.until(({ message }) => message === 'Subscribed to PostgreSQL')

/** A channel with these bindings, which receives changes: one inbox for each of them. */
async function following(client, ...bindings) {
  const channel = client.channel('changes')
  const notices = new Inbox()
  channel.on('system', {}, notices.put)
  const changes = bindings.map((binding) => {
    const inbox = new Inbox()
    channel.on('postgres_changes', binding, inbox.put)
    return inbox
  })
  await joined(channel)
  await subscribed(notices)
  return { channel, notices, changes }
}

test('rows that are inserted, updated and deleted are received', async (t) => {
  const id = key()
  const { changes } = await following(person(t, server), ALL)
  postgres.sql(`
    INSERT INTO todos VALUES (${id}, 'write', 1.50, false);
    UPDATE todos SET done = true WHERE id = ${id};
    DELETE FROM todos WHERE id = ${id}`)
  const [inserted, updated, deleted] = [await changes[0].next(), await changes[0].next(), await changes[0].next()]
  const { commit_timestamp: at, ...insert } = inserted
  assert.ok(Math.abs(Date.now() - Date.parse(at)) < 60_000, at)
  const row = { id, title: 'write', price: 1.5, done: false }
  assert.deepEqual(insert, { schema: 'public', table: 'todos', eventType: 'INSERT', new: row, old: {}, errors: null })
  assert.deepEqual([updated.eventType, updated.new, updated.old], ['UPDATE', { ...row, done: true }, { id }])
  assert.deepEqual([deleted.eventType, deleted.new, deleted.old], ['DELETE', {}, { id }])
})

test('every operator of filters, negated and several at once', async (t) => {
  const [ann, bob, none] = [key(), key(), key()]
  const cases = {
    [`id=eq.${ann}`]: [ann],
    [`id=gte.${ann},id=neq.${ann}`]: [bob, none],
    [`id=gte.${ann},price=lt.10`]: [ann],
    [`id=gte.${ann},price=lte.10`]: [ann, bob],
    [`id=gte.${ann},price=gt.9.5`]: [bob],
    [`id=in.(${ann},${none})`]: [ann, none],
    [`id=gte.${ann},title=like.A%`]: [ann],
    [`id=gte.${ann},title=ilike.%B`]: [bob],
    [`id=gte.${ann},title=match.^A.n$`]: [ann],
    [`id=gte.${ann},title=imatch.^BO`]: [bob],
    [`id=gte.${ann},title=is.null`]: [none],
    [`id=gte.${ann},done=is.true`]: [ann],
    [`id=gte.${ann},title=isdistinct.Ann`]: [bob, none],
    [`id=gte.${ann},title=not.like.A%`]: [bob],
    [`id=gte.${ann},title=not.is.null`]: [ann, bob],
    [`id=gte.${ann},id=not.in.(${ann},${bob})`]: [none],
  }
  const bindings = Object.keys(cases).map((filter) => ({ ...ALL, event: 'INSERT', filter }))
  const { changes } = await following(person(t, server), ...bindings)
  postgres.sql(`INSERT INTO todos VALUES (${ann}, 'Ann', 9.5, true), (${bob}, 'Bob', 10, false), (${none}, NULL, NULL, NULL)`)
  for (const [n, [filter, expected]] of Object.entries(cases).entries()) {
    for (const id of expected) assert.equal((await changes[n].next(filter)).new.id, id, filter)
  }
  assert.ok(changes.every((inbox) => inbox.empty))
})

test('two users see their own rows of a table with row level security', async (t) => {
  const notes = { event: '*', schema: 'public', table: 'notes' }
  const [ann, bob] = [token('ann'), token('bob')].map((token) => person(t, server, { token }))
  const [{ changes: [ofAnn] }, { changes: [ofBob] }] = [await following(ann, notes), await following(bob, notes)]
  postgres.sql(`
    INSERT INTO notes VALUES (1, 'ann', 'a'), (2, 'bob', 'b'), (3, 'ann', 'c');
    UPDATE notes SET body = 'd' WHERE id = 2`)
  for (const id of [1, 3]) assert.equal((await ofAnn.next()).new.id, id)
  for (const id of [2, 2]) assert.equal((await ofBob.next()).new.id, id)
  postgres.sql('DELETE FROM notes WHERE id = 1')
  for (const changes of [ofAnn, ofBob]) assert.deepEqual((await changes.next()).old, { id: 1 }, 'the key only')
})

test('a token of another user changes what is received', async (t) => {
  const { client, refresh } = await signedIn(t, server, token('carol'))
  const { notices, changes } = await following(client, { event: 'INSERT', schema: 'public', table: 'notes' })
  postgres.sql(`INSERT INTO notes VALUES (11, 'carol', ''), (12, 'dan', '')`)
  assert.equal((await changes[0].next()).new.id, 11)
  while (!notices.empty) await notices.next()
  await refresh(token('dan'))
  await subscribed(notices)
  postgres.sql(`INSERT INTO notes VALUES (13, 'carol', ''), (14, 'dan', '')`)
  assert.equal((await changes[0].next()).new.id, 14)
})

test('selected columns, with the key', async (t) => {
  const id = key()
  const { changes } = await following(person(t, server), { ...ALL, select: ['title'] }, ALL)
  postgres.sql(`INSERT INTO todos VALUES (${id}, 'select', 2, true)`)
  assert.deepEqual((await changes[0].next()).new, { id, title: 'select' })
  assert.deepEqual((await changes[1].next()).new, { id, title: 'select', price: 2, done: true })
})

test('bindings receive their own events, and all tables of a schema', async (t) => {
  const id = key()
  const bindings = [{ event: '*', schema: 'public' }, { ...ALL, event: 'UPDATE' }, { ...ALL, event: 'DELETE' }]
  const { changes } = await following(person(t, server), ...bindings)
  postgres.sql(`
    CREATE TABLE later (id int PRIMARY KEY);
    GRANT SELECT ON later TO authenticated;
    ALTER PUBLICATION supabase_realtime ADD TABLE later;
    INSERT INTO later VALUES (1);
    INSERT INTO todos VALUES (${id});
    UPDATE todos SET title = 'b' WHERE id = ${id};
    DELETE FROM todos WHERE id = ${id}`)
  const [all, updates, deletions] = changes
  const received = []
  for (let n = 0; n < 4; n++) received.push(await all.next())
  const seen = received.map(({ table, eventType }) => `${eventType} ${table}`)
  assert.deepEqual(seen, ['INSERT later', 'INSERT todos', 'UPDATE todos', 'DELETE todos'])
  assert.equal((await updates.next()).new.title, 'b')
  assert.equal((await deletions.next()).old.id, id)
  assert.ok(updates.empty && deletions.empty)
})

test('what is committed after «Subscribed» is not missed', async (t) => {
  const client = person(t, server)
  for (let n = 0; n < 50; n++) {
    const { channel, changes } = await following(client, { ...ALL, event: 'INSERT' })
    const id = key()
    postgres.sql(`INSERT INTO todos VALUES (${id})`)
    assert.equal((await changes[0].next()).new.id, id)
    await client.removeChannel(channel)
  }
})

test('a filter that cannot be used is reported, and the channel stays', async (t) => {
  const channel = person(t, server).channel('changes')
  const [notices, received] = [new Inbox(), new Inbox()]
  channel.on('system', {}, notices.put).on('broadcast', { event: '*' }, received.put)
  channel.on('postgres_changes', { ...ALL, filter: 'nothing=eq.1' }, () => {})
  await joined(channel)
  const { status, message, extension } = await notices.next()
  assert.deepEqual([status, extension], ['error', 'postgres_changes'])
  assert.match(message, /invalid column for filter nothing/)
  assert.equal(channel.state, 'joined')
})

test('one channel has changes, presence and broadcasts', async (t) => {
  const id = key()
  const ann = person(t, server).channel('together', { config: { presence: { key: 'ann' }, broadcast: { self: true } } })
  const [notices, received, changes, synced] = [new Inbox(), new Inbox(), new Inbox(), new Inbox()]
  ann
    .on('system', {}, notices.put)
    .on('broadcast', { event: 'hello' }, received.put)
    .on('presence', { event: 'sync' }, () => synced.put(Object.keys(ann.presenceState())))
    .on('postgres_changes', { ...ALL, filter: `id=eq.${id}` }, changes.put)
  await joined(ann)
  await subscribed(notices)
  assert.equal(await ann.track({ name: 'Ann' }), 'ok')
  await synced.until((keys) => keys.includes('ann'))
  await ann.send({ type: 'broadcast', event: 'hello', payload: { n: 1 } })
  assert.deepEqual((await received.next()).payload, { n: 1 })
  postgres.sql(`INSERT INTO todos VALUES (${id})`)
  assert.equal((await changes.next()).new.id, id)
})

test('clients of the old form name the table in the topic', async (t) => {
  const id = key()
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/realtime/v1/websocket?apikey=${server.token()}&vsn=1.0.0`)
  t.after(() => socket.terminate())
  const received = new Inbox()
  socket.on('message', (text) => received.put(JSON.parse(text)))
  await new Promise((resolve) => socket.on('open', resolve))
  const topic = `realtime:public:todos:id=eq.${id}`
  socket.send(JSON.stringify({ topic, event: 'phx_join', payload: {}, ref: '1' }))
  await received.until(({ payload }) => payload.message === 'Subscribed to PostgreSQL')
  postgres.sql(`INSERT INTO todos VALUES (${id}, 'old form')`)
  const { event, payload } = await received.next()
  assert.deepEqual([event, payload.type, payload.record.title], ['INSERT', 'INSERT', 'old form'])
})

for (const { name, load } of CLIENTS) {
  test(`${name} receives changes`, async (t) => {
    const id = key()
    const Client = await load()
    const client = await Client(t, server).join('changes', { postgres_changes: [{ ...ALL, filter: `id=eq.${id}` }] })
    await subscribed(client.notices)
    postgres.sql(`INSERT INTO todos VALUES (${id}, 'version')`)
    assert.equal((await client.written.next()).title, 'version')
  })
}

test('with `wait` a channel is SUBSCRIBED when changes flow, and not at all if they cannot', async (t) => {
  const config = { postgres_changes_options: { wait: true } }
  for (let round = 0; round < 5; round++) {
    const channel = person(t, server, { token: token('waiting') }).channel('waiting', { config })
    const changes = new Inbox()
    channel.on('postgres_changes', ALL, changes.put)
    await joined(channel)
    const id = key()
    postgres.sql(`INSERT INTO todos VALUES (${id}, 'at once')`)
    assert.equal((await changes.next()).new.id, id)
  }
  const channel = person(t, server).channel('waiting', { config })
  channel.on('postgres_changes', { ...ALL, table: 'absent' }, () => {})
  const [status, error] = await new Promise((resolve) => channel.subscribe((...outcome) => resolve(outcome)))
  assert.equal(status, 'CHANNEL_ERROR')
  assert.match(error.message, /RealtimeDisabledForConfiguration: .*absent/)
})
