// y-sweet's SDK in a backend and its client in a browser, unmodified: the backend asks this server for client tokens.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { DocumentManager } from '@y-sweet/sdk'

import { Y_SWEET } from './support/editors.js'
import { Server } from './support/server.js'

let server
let manager
before(async () => {
  server = await Server.start()
  manager = managerWith(server.token({ role: 'service_role', sub: undefined }))
})
after(() => server.close())

/** The SDK with a token in its connection string. */
function managerWith(token) {
  return new DocumentManager(`ys://${token}@127.0.0.1:${server.port}`)
}

/** An editor of a document, whose client tokens are as `request` says. */
function edit(t, docId, request) {
  return Y_SWEET.openWith(t, docId, () => manager.getClientToken(docId, request))
}

test('a backend creates a document that its users edit', async (t) => {
  assert.deepEqual(await manager.checkStore(), { ok: true })
  const { docId } = await manager.createDoc()
  const [ann, bob] = await Promise.all(['ann', 'bob'].map((userId) => edit(t, docId, { userId })))
  await Promise.all([ann.synced(), bob.synced()])
  ann.insert('a')
  await bob.until('a')
  await ann.saved()
  bob.insert('b')
  await ann.until('ba')
})

test('a name may be chosen, and a document exists once', async (t) => {
  const token = await manager.getOrCreateDocAndToken('notes')
  assert.equal(token.docId, 'notes')
  const ann = await Y_SWEET.openWith(t, 'notes', () => token)
  ann.insert('a')
  await ann.saved()
  assert.deepEqual(await manager.createDoc('notes'), { docId: 'notes' })
  const bob = await edit(t, 'notes')
  await bob.until('a')
})

test('a user with a read-only token sees changes and makes none', async (t) => {
  const { docId } = await manager.createDoc()
  const writer = await edit(t, docId)
  const reader = await edit(t, docId, { authorization: 'read-only' })
  await Promise.all([writer.synced(), reader.synced()])
  writer.insert('a')
  await reader.until('a')
  reader.insert('x')
  writer.insert('b')
  await writer.saved()
  await reader.untilLength(3)
  const late = await edit(t, docId)
  await late.until('ba')
})

test('a client whose token expires asks the backend for another', async (t) => {
  const { docId } = await manager.createDoc()
  const lifetimes = [2, 3600]
  const ann = await Y_SWEET.openWith(t, docId, () =>
    manager.getClientToken(docId, { validForSeconds: lifetimes.length > 1 ? lifetimes.shift() : lifetimes[0] }),
  )
  await ann.synced()
  await ann.closed(4503)
  ann.insert('a')
  const bob = await edit(t, docId)
  await bob.until('a')
})

test('the SDK reports what is refused', async () => {
  const refused = (promise, cause) => assert.rejects(promise, (error) => {
    assert.deepEqual({ ...error.cause, url: undefined, message: undefined }, { ...cause, url: undefined, message: undefined })
    return true
  })
  await refused(managerWith(server.tokenFor(-1)).createDoc(), { code: 'InvalidAuthProvided' })
  await refused(managerWith(server.token()).getClientToken('notes'), { code: 'ServerError', status: 403 })
  await refused(new DocumentManager(`ys://127.0.0.1:${server.port}`).checkStore(), { code: 'NoAuthProvided' })
  await refused(manager.createDoc('a/b'), { code: 'ServerError', status: 400 })
})
