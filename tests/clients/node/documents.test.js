// Shared documents with the official providers: they converge, whatever protocol and version each of them speaks.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { HOCUSPOCUS, Y_WEBSOCKET } from './support/editors.js'
import { Server } from './support/server.js'

let server
before(async () => {
  server = await Server.start()
})
after(() => server.close())

const token = (claims) => server.token({ sub: 'ann', role: undefined, ...claims })

for (const provider of [...Y_WEBSOCKET, ...HOCUSPOCUS]) {
  test(`${provider.name}: editors converge, and one that comes later has it all`, async (t) => {
    const name = `${provider.name}/converge`
    const ann = await provider.open(t, server, name, token())
    const bob = await provider.open(t, server, name, token())
    await Promise.all([ann.synced(), bob.synced()])
    ann.insert('a')
    await bob.until('a')
    bob.insert('b')
    await ann.until('ba')
    const late = await provider.open(t, server, name, token())
    await late.until('ba')
  })

  test(`${provider.name}: one is seen by others until it leaves`, async (t) => {
    const name = `${provider.name}/awareness`
    const ann = await provider.open(t, server, name, token())
    const bob = await provider.open(t, server, name, token())
    await Promise.all([ann.synced(), bob.synced()])
    ann.provider.awareness.setLocalState({ name: 'ann' })
    await bob.shows('ann')
    ann.provider.destroy()
    await bob.showsNoMore('ann')
  })

  test(`${provider.name}: what is acknowledged is there after the server was killed`, async (t) => {
    const own = await Server.start()
    t.after(() => own.close())
    const signed = own.token({ sub: 'ann', role: undefined })
    const ann = await provider.open(t, own, 'room', signed)
    await ann.synced()
    ann.insert('kept')
    const witness = await HOCUSPOCUS[2].open(t, own, 'room', signed)
    await witness.until('kept')
    witness.insert('all ')
    await witness.saved()
    ann.provider.destroy()
    witness.provider.destroy()
    await own.kill()
    await own.start()
    const bob = await provider.open(t, own, 'room', signed)
    await bob.until('all kept')
  })
}

test('clients of all protocols and versions edit one document', async (t) => {
  const providers = [...Y_WEBSOCKET, ...HOCUSPOCUS]
  const editors = await Promise.all(providers.map((provider) => provider.open(t, server, 'mixed/doc', token())))
  await Promise.all(editors.map((editor) => editor.synced()))
  for (const editor of editors) {
    for (let n = 0; n < 20; n++) editor.insert('x')
  }
  await Promise.all(editors.map((editor) => editor.until('x'.repeat(20 * editors.length))))
})

for (const provider of HOCUSPOCUS) {
  test(`${provider.name}: a reader changes nothing, and is not waited for`, async (t) => {
    const name = `${provider.name}/readers`
    const writer = await provider.open(t, server, name, token())
    const reader = await provider.open(t, server, name, token({ scope: 'readonly' }))
    await Promise.all([writer.synced(), reader.synced()])
    writer.insert('a')
    await reader.until('a')
    reader.insert('x')
    writer.insert('b')
    await writer.saved()
    const late = await provider.open(t, server, name, token())
    await late.until('ba')
  })

  test(`${provider.name}: a document that the token does not permit is denied`, async (t) => {
    const denied = await provider.open(t, server, 'denied', token({ permissions: { rooms: ['other'] } }))
    await denied.events.until('it is denied', () => denied.denials.length > 0)
    assert.deepEqual(denied.denials, ['permission-denied'])
  })
}
