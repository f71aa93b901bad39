// Shared documents with the official providers: they converge, whatever protocol and version each of them speaks, and after
// whatever happens to their connection.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import { HOCUSPOCUS, Y_SWEET, Y_WEBSOCKET } from './support/editors.js'
import { Server } from './support/server.js'

const ALL = [...Y_WEBSOCKET, Y_SWEET, ...HOCUSPOCUS]

let server
before(async () => (server = await Server.start()))
after(() => server.close())

const token = (claims) => server.token({ sub: 'ann', role: undefined, ...claims })
const reads = { permissions: { rooms: [{ pattern: '*', access: 'read' }] } }

/** Tests with each of these providers, all at the same time. */
function each(providers, what, run) {
  describe(what, { concurrency: true }, () => {
    for (const provider of providers) {
      test(provider.name, (t) => run(t, provider, `${provider.name}/${what}`.replaceAll(' ', '_')))
    }
  })
}

/** Two editors of a document, synchronised. */
async function pair(t, provider, name) {
  const editors = await Promise.all(['ann', 'bob'].map((sub) => provider.open(t, server, name, token({ sub }))))
  await Promise.all(editors.map((editor) => editor.synced()))
  return editors
}

each(ALL, 'editors converge, and one that comes later has it all', async (t, provider, name) => {
  const [ann, bob] = await pair(t, provider, name)
  ann.insert('a')
  await bob.until('a')
  bob.insert('b')
  await ann.until('ba')
  const late = await provider.open(t, server, name, token())
  await late.until('ba')
})

test('clients of all protocols and versions edit one document', async (t) => {
  const editors = await Promise.all(ALL.map((provider) => provider.open(t, server, 'mixed/doc', token())))
  await Promise.all(editors.map((editor) => editor.synced()))
  for (const editor of editors) editor.type(20)
  await Promise.all(editors.map((editor) => editor.untilLength(20 * editors.length)))
  assert.equal(new Set(editors.map((editor) => editor.text)).size, 1)
})

each(ALL, 'what is sent just before a client leaves is kept', async (t, provider, name) => {
  const [ann, bob] = await pair(t, provider, name)
  ann.insert('a')
  ann.leave()
  await bob.until('a')
})

each(ALL, 'one is seen until it leaves', async (t, provider, name) => {
  const [ann, bob] = await pair(t, provider, name)
  ann.show('ann')
  await bob.sees('ann')
  ann.leave()
  await bob.seesNoMore('ann')
})

each(ALL, 'one whose connection breaks is not seen, and is again as soon as it is back', async (t, provider, name) => {
  const [ann, bob] = await pair(t, provider, name)
  ann.show('ann')
  await bob.sees('ann')
  ann.breaks()
  await bob.seesNoMore('ann')
  const [gone, limit] = [Date.now(), 8_000]
  await bob.sees('ann')
  // Without what the server does, at the next renewal: 15 s after it was shown.
  assert.ok(Date.now() - gone < limit, 'long before its state is renewed')
})

describe('clients that may only read change nothing', { concurrency: true }, () => {
  const ways = { 'access: read': reads, 'scope: readonly': { scope: 'readonly' }, anon: { role: 'anon' } }
  for (const [way, claims] of Object.entries(ways)) {
    for (const provider of ALL) {
      test(`${provider.name}, ${way}`, async (t) => {
        const name = `readers/${provider.name}-${way}`.replaceAll(/[ :]/g, '_')
        const writer = await HOCUSPOCUS[2].open(t, server, name, token())
        const reader = await provider.open(t, server, name, token(claims))
        await Promise.all([writer.synced(), reader.synced()])
        writer.insert('a')
        await reader.until('a')
        reader.insert('x')
        writer.insert('b')
        await writer.saved()
        await reader.events.until('it receives more', () => reader.text.includes('b'))
        const late = await provider.open(t, server, name, token())
        await late.until('ba')
      })
    }
  }
})

each(HOCUSPOCUS, 'a reader is told so, and waits for nothing until it writes', async (t, provider, name) => {
  const reader = await provider.open(t, server, name, token({ scope: 'readonly' }))
  await reader.permitted('readonly')
  await reader.saved()
  reader.insert('x')
  assert.ok(reader.provider.hasUnsyncedChanges)
})

each(Y_WEBSOCKET, 'a new connection without an accepted token, or for another room, is closed with its reason', async (t, provider) => {
  const unknown = await provider.open(t, server, 'denied', `${token()}x`)
  await unknown.closed(4401)
  const expired = await provider.open(t, server, 'denied', server.tokenFor(-60))
  await expired.closed(4401)
  const denied = await provider.open(t, server, 'denied', token({ permissions: { rooms: ['other'] } }))
  await denied.closed(4403)
  // 3.1 stops after these codes.
  if (provider.name.endsWith('3.1')) assert.ok([unknown, expired, denied].every((editor) => !editor.provider.shouldConnect))
})

each(HOCUSPOCUS, 'a document without an accepted token, or of another room, is denied, and others on its connection are not', async (t, provider, name) => {
  const websocketProvider = await provider.connect(t, server)
  const open = (doc, signed) => provider.open(t, server, doc, signed, { websocketProvider })
  const other = await open(`${name}-other`, token())
  const unknown = await open(`${name}-unknown`, `${token()}x`)
  const denied = await open(`${name}-denied`, token({ permissions: { rooms: ['other'] } }))
  await Promise.all([other.synced(), unknown.denied(), denied.denied()])
  assert.deepEqual(denied.denials, ['permission-denied'])
  // What such a client goes on sending.
  unknown.insert('x')
  denied.insert('x')
  other.insert('a')
  await other.saved()
  if (provider.sendsToken) {
    unknown.use(token())
    unknown.provider.sendToken()
    await unknown.saved()
  }
  assert.deepEqual(other.closings, [])
})

each([...Y_WEBSOCKET, Y_SWEET], 'one whose token expires comes back with the one that it has by then', async (t, provider, name) => {
  const ann = await provider.open(t, server, name, server.tokenFor(1))
  const opened = Date.now()
  await ann.synced()
  ann.use(token())
  await ann.closed(4503)
  assert.ok(Date.now() - opened >= 900, 'not at once')
  ann.insert('a')
  const bob = await provider.open(t, server, name, token())
  await bob.until('a')
})

each(HOCUSPOCUS, 'a document whose token expires is denied, and goes on with a new one', async (t, provider, name) => {
  const websocketProvider = await provider.connect(t, server)
  const ann = await provider.open(t, server, name, server.tokenFor(2), { websocketProvider })
  const other = await provider.open(t, server, `${name}-other`, token(), { websocketProvider })
  await Promise.all([ann.synced(), other.synced()])
  await ann.denied()
  ann.insert('a')
  other.insert('b')
  await other.saved()
  ann.use(token())
  await (provider.sendsToken ? ann.provider.sendToken() : ann.provider.connect())
  const bob = await provider.open(t, server, name, token())
  await bob.until('a')
  bob.insert('b')
  await ann.until('ba')
  ann.insert('c')
  await ann.saved()
  assert.deepEqual([ann.closings, other.closings], [[], []])
})

each(HOCUSPOCUS.filter((it) => it.sendsToken), 'a token that is sent again changes what is permitted', async (t, provider, name) => {
  const ann = await provider.open(t, server, name, token({ scope: 'readonly' }))
  await ann.permitted('readonly')
  ann.use(token())
  await ann.provider.sendToken()
  await ann.permitted('read-write')
  ann.insert('a')
  await ann.saved()
})

each(HOCUSPOCUS, 'the token may be that of the connection', async (t, provider, name) => {
  const { HocuspocusProviderWebsocket } = await import(`hocuspocus-${provider.name.split(' ')[1]}`)
  const url = `${server.webSocketUrl}/hocuspocus?token=${token()}`
  const websocketProvider = new HocuspocusProviderWebsocket({ url, WebSocketPolyfill: globalThis.WebSocket })
  t.after(() => websocketProvider.destroy())
  const ann = await provider.open(t, server, name, null, { websocketProvider, token: null })
  await ann.synced()
  ann.insert('a')
  await ann.saved()
})

each(HOCUSPOCUS, 'stateless messages reach the other Hocuspocus clients', async (t, provider, name) => {
  const [ann, bob] = await pair(t, provider, name)
  const others = await Promise.all(HOCUSPOCUS.map((version) => version.open(t, server, name, token())))
  await Promise.all(others.map((editor) => editor.synced()))
  ann.provider.sendStateless('hello')
  for (const editor of [bob, ...others]) {
    await editor.events.until('the message', () => editor.received.length > 0)
    assert.deepEqual(editor.received, ['hello'])
  }
  assert.deepEqual(ann.received, [])
})

each(HOCUSPOCUS, 'one connection has many documents, and leaves some of them', async (t, provider, name) => {
  const websocketProvider = await provider.connect(t, server)
  const open = (number) => provider.open(t, server, `${name}/${number}`, token(), { websocketProvider })
  const editors = await Promise.all(Array.from({ length: 20 }, (_, number) => open(number)))
  await Promise.all(editors.map((editor) => editor.saved()))
  editors.splice(0, 10).forEach((editor) => editor.leave())
  editors.forEach((editor, number) => editor.type(number + 1))
  await Promise.all(editors.map((editor) => editor.saved()))
  const again = await open(0)
  await again.saved()
  const last = await Y_WEBSOCKET[2].open(t, server, `${name}/19`, token())
  await last.untilLength(10)
  assert.deepEqual(editors.flatMap((editor) => editor.closings), [])
})

each(HOCUSPOCUS, 'a client that synchronises again is acknowledged', async (t, provider, name) => {
  const ann = await provider.open(t, server, name, token())
  await ann.saved()
  ann.provider.forceSync()
  assert.ok(ann.provider.hasUnsyncedChanges)
  await ann.saved()
})

test('Hocuspocus 4.8: two providers of one page have the same document, each with its session', async (t) => {
  const [websocketProvider, sessionAwareness] = [await HOCUSPOCUS[2].connect(t, server), true]
  const open = () => HOCUSPOCUS[2].open(t, server, 'sessions/doc', token(), { websocketProvider, sessionAwareness })
  const [ann, bob] = [await open(), await open()]
  ann.show('ann')
  await bob.sees('ann')
  ann.insert('a')
  await bob.until('a')
  ann.leave()
  await bob.seesNoMore('ann')
  bob.insert('b')
  await bob.saved()
})

each(ALL, 'what is acknowledged is there after the server was killed, and clients that were connected go on', async (t, provider) => {
  const own = await Server.start()
  t.after(() => own.close())
  const signed = own.token({ sub: 'ann', role: undefined })
  const ann = await provider.open(t, own, 'room', signed)
  const gone = await HOCUSPOCUS[2].open(t, own, 'room', signed)
  await Promise.all([ann.synced(), gone.synced()])
  gone.insert('kept')
  await Promise.all([gone.saved(), ann.until('kept')])
  gone.leave()
  await own.kill()
  ann.insert('offline ')
  await own.start()
  const late = await HOCUSPOCUS[2].open(t, own, 'room', signed)
  await late.until('offline kept')
  late.insert('all ')
  await ann.until('all offline kept')
  if (ann.saved) await ann.saved()
})
