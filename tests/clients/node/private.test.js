// Private rooms and messages from SQL with supabase-js: policies in a PostgreSQL decide.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { Inbox, joined, listener, person, signedIn, subscribe } from './support/people.js'
import { Postgres } from './support/postgres.js'
import { Server } from './support/server.js'

/** What a user may do in a room, as rows that the policies read. */
const POLICIES = `
  CREATE TABLE rights (name text, room text, action text);
  GRANT SELECT ON rights TO authenticated;
  CREATE FUNCTION may(wanted text) RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM public.rights
      WHERE name = auth.jwt() ->> 'sub' AND room = realtime.topic() AND action = wanted)
  $$;
  CREATE POLICY reads ON realtime.messages FOR SELECT TO authenticated USING (public.may('read'));
  CREATE POLICY writes ON realtime.messages FOR INSERT TO authenticated WITH CHECK (public.may('write'));`

const PRIVATE = { private: true }

let postgres
let server
before(async () => {
  postgres = await Postgres.start()
  server = await Server.start({ REALTIME__TENANTS__DEFAULT__DATABASE__URL: postgres.url() })
  server.command('migrate', '--tenant', 'default', '--auth-helpers')
  postgres.sql(POLICIES)
})
after(async () => {
  await server.close()
  await postgres.stop()
})

const allow = (name, room, ...actions) =>
  actions.forEach((action) => postgres.sql(`INSERT INTO rights VALUES ('${name}', '${room}', '${action}')`))
const withdraw = (name, action) => postgres.sql(`DELETE FROM rights WHERE name = '${name}' AND action = '${action}'`)
/** A client of a user; each token is another one. */
let numbers = 0
const token = (sub) => server.token({ sub, number: numbers++ })

const hello = { type: 'broadcast', event: 'hello', payload: { n: 1 } }

test('who may read joins, and who may not is refused', async (t) => {
  allow('ann', 'allowed', 'read', 'write')
  allow('bob', 'allowed', 'read')
  const ann = await listener(person(t, server, { token: token('ann') }), 'allowed', PRIVATE)
  const bob = await listener(person(t, server, { token: token('bob') }), 'allowed', PRIVATE)
  assert.equal(await ann.channel.send(hello), 'ok')
  assert.deepEqual(await bob.received.next(), hello)
  const eve = person(t, server, { token: token('eve') }).channel('allowed', { config: PRIVATE })
  const { status, reason } = await subscribe(eve).next()
  assert.equal(status, 'CHANNEL_ERROR')
  assert.match(reason, /Unauthorized: You do not have permissions to read from this Channel topic: allowed/)
})

test('a write that is not allowed is answered, and reaches no one', async (t) => {
  allow('ann', 'writing', 'read', 'write')
  allow('bob', 'writing', 'read')
  const ann = await listener(person(t, server, { token: token('ann') }), 'writing', PRIVATE)
  const config = { ...PRIVATE, broadcast: { ack: true } }
  const bob = await listener(person(t, server, { token: token('bob') }), 'writing', config)
  assert.equal(await bob.channel.send(hello), 'error')
  const second = { ...hello, payload: { n: 2 } }
  const carol = await listener(person(t, server, { token: token('ann') }), 'writing', PRIVATE)
  assert.equal(await carol.channel.send(second), 'ok')
  assert.deepEqual(await ann.received.next(), second)
})

test('a private and a public room of one name are two', async (t) => {
  allow('ann', 'name', 'read', 'write')
  const inPrivate = await listener(person(t, server, { token: token('ann') }), 'name', PRIVATE)
  const inPublic = await listener(person(t, server, { token: token('bob') }), 'name')
  const [one, other] = [1, 2].map((n) => ({ ...hello, payload: { n } }))
  const sender = await listener(person(t, server, { token: token('ann') }), 'name', PRIVATE)
  assert.equal(await sender.channel.send(one), 'ok')
  assert.deepEqual(await inPrivate.received.next(), one)
  const { channel } = await listener(person(t, server), 'name')
  assert.equal(await channel.send(other), 'ok')
  assert.deepEqual(await inPublic.received.next(), other, 'the first it receives')
})

test('a right that is withdrawn ends the channel with the next token', async (t) => {
  allow('dan', 'refreshed', 'read')
  const { client, refresh } = await signedIn(t, server, token('dan'))
  const channel = client.channel('refreshed', { config: PRIVATE })
  const system = new Inbox()
  channel.on('system', {}, system.put)
  const statuses = await joined(channel)
  withdraw('dan', 'read')
  await refresh(token('dan'))
  const { message } = await system.next('the notice')
  assert.equal(message, 'You do not have permissions to read from this Channel topic: refreshed')
  assert.equal((await statuses.next()).status, 'CLOSED')
})

test('a trigger and realtime.send reach members, as JSON and as bytes', async (t) => {
  allow('ann', 'from-sql', 'read')
  const config = { ...PRIVATE, broadcast: { replication_ready: true } }
  const channel = person(t, server, { token: token('ann') }).channel('from-sql', { config })
  const [system, received] = [new Inbox(), new Inbox()]
  channel.on('system', {}, system.put).on('broadcast', { event: '*' }, received.put)
  await joined(channel)
  await system.until(({ message }) => message === 'Replication connection established')
  postgres.sql(`
    CREATE TABLE tasks (id int PRIMARY KEY, title text);
    CREATE FUNCTION send_task() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM realtime.broadcast_changes('from-sql', TG_OP, TG_OP, TG_TABLE_NAME, TG_TABLE_SCHEMA, NEW, OLD);
      RETURN NULL;
    END $$;
    CREATE TRIGGER send_task AFTER INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION send_task();
    INSERT INTO tasks VALUES (1, 'a');
    UPDATE tasks SET title = 'b';
    SELECT realtime.send('{"n": 3}', 'sent', 'from-sql');
    SELECT realtime.send_binary('\\x0001ff', 'bytes', 'from-sql')`)
  const inserted = await received.next()
  assert.equal(inserted.event, 'INSERT')
  assert.deepEqual(inserted.payload.record, { id: 1, title: 'a' })
  const updated = await received.next()
  assert.deepEqual([updated.payload.old_record.title, updated.payload.record.title], ['a', 'b'])
  assert.equal((await received.next()).payload.n, 3)
  const bytes = await received.next()
  assert.equal(bytes.event, 'bytes')
  assert.deepEqual([...new Uint8Array(bytes.payload)], [0, 1, 255])
})
