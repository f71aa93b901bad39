// What supabase-js reports for a refused join: the documented texts.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { listener, person, signedIn, subscribe } from './support/people.js'
import { Server } from './support/server.js'

let server
before(async () => (server = await Server.start({ REALTIME__LIMITS__MAX_CHANNELS_PER_CLIENT: '3' })))
after(() => server.close())

/** The status of a join as the application sees it. */
async function refusal(channel) {
  return subscribe(channel).next('a reply to the join')
}

test('a private room needs a database, which is missing', async (t) => {
  const channel = person(t, server).channel('secret', { config: { private: true } })
  assert.deepEqual(await refusal(channel), {
    status: 'CHANNEL_ERROR',
    reason: 'UnableToConnectToProject: Realtime was unable to connect to the project database',
  })
})

test('database changes need a database, which is missing', async (t) => {
  const channel = person(t, server).channel('changes')
  channel.on('postgres_changes', { event: '*', schema: 'public', table: 'todos' }, () => {})
  const { reason } = await refusal(channel)
  assert.equal(reason, 'UnableToConnectToProject: Realtime was unable to connect to the project database')
})

test('an expired token is refused at the join', async (t) => {
  const { client } = await signedIn(t, server, server.tokenFor(-10))
  const { status, reason } = await refusal(client.channel('room'))
  assert.equal(status, 'CHANNEL_ERROR')
  assert.match(reason, /^InvalidJWTToken: Token has expired \d+ seconds ago$/)
})

test('a forged token is refused at the join', async (t) => {
  const [header, claims] = server.token().split('.')
  const { client } = await signedIn(t, server, `${header}.${claims}.${'x'.repeat(43)}`)
  const { reason } = await refusal(client.channel('room'))
  assert.equal(reason, 'JwtSignatureError: Failed to validate JWT signature')
})

test('an invalid key is refused at the handshake', async (t) => {
  const { status } = await refusal(person(t, server, { token: 'not-a-jwt' }).channel('room'))
  assert.equal(status, 'CHANNEL_ERROR')
})

test('a channel above the limit is refused, and accepted once another is left', async (t) => {
  const ann = person(t, server)
  const first = await listener(ann, 'one')
  await listener(ann, 'two')
  await listener(ann, 'three')
  const statuses = subscribe(ann.channel('four'))
  assert.equal((await statuses.next()).reason, 'ChannelRateLimitReached: Too many channels')
  await ann.removeChannel(first.channel)
  await statuses.until(({ status }) => status === 'SUBSCRIBED', 'the repeated join')
})
