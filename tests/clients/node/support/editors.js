// Editors: a Yjs document with an official provider, of each version that is tested.

import * as Y from 'yjs'
import { WebSocket as NodeWebSocket } from 'ws'

import { TIMEOUT_MS } from './server.js'

/** As in a browser, an error that is not listened to, as after a provider was destroyed while it connects, is no exception. */
class WebSocket extends NodeWebSocket {
  constructor(...args) {
    super(...args)
    this.on('error', () => {})
  }
}

// Version 2 of Hocuspocus does not pass on the class that it is given.
globalThis.WebSocket = WebSocket

/** Waits until conditions hold, which are looked at when something has happened to an editor. */
class Events {
  waiting = new Set()

  happened = () => {
    for (const look of this.waiting) look()
  }

  until(what, condition) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(look)
        reject(new Error(`${what}: not within ${TIMEOUT_MS} ms`))
      }, TIMEOUT_MS)
      const look = () => {
        if (!condition()) return
        clearTimeout(timer)
        this.waiting.delete(look)
        resolve()
      }
      this.waiting.add(look)
      look()
    })
  }
}

/** A document that is synchronised by a provider. */
class Editor {
  events = new Events()
  doc = new Y.Doc()
  /** The codes with which connections were closed. */
  closings = []

  constructor(token) {
    this.token = token
    this.doc.on('update', this.events.happened)
  }

  get text() {
    return this.doc.getText('text').toString()
  }

  insert(text) {
    this.doc.getText('text').insert(0, text)
  }

  /** Types `count` letters, each an update, at once. */
  type(count) {
    for (let n = 0; n < count; n++) this.insert('x')
  }

  until(text) {
    return this.events.until(`the text is ${JSON.stringify(text)}`, () => this.text === text)
  }

  /** Waits until the text has this many letters. */
  untilLength(length) {
    return this.events.until(`the text has ${length} letters`, () => this.text.length === length)
  }

  synced() {
    return this.events.until('it is synchronised', () => this.provider.synced)
  }

  closed(code) {
    return this.events.until(`it is closed with ${code}`, () => this.closings.includes(code))
  }

  /** What others see of it. */
  show(name) {
    this.provider.awareness.setLocalState({ name })
  }

  sees(name) {
    return this.events.until(`${name} is shown`, () => this.#names().includes(name))
  }

  seesNoMore(name) {
    return this.events.until(`${name} is no longer shown`, () => !this.#names().includes(name))
  }

  #names() {
    return [...this.provider.awareness.getStates().values()].map((state) => state.name)
  }

  /** Notes what happens to its provider. */
  watch(t, provider, events) {
    this.provider = provider
    provider.awareness.on('change', this.events.happened)
    for (const event of events) provider.on(event, this.events.happened)
    t.after(() => this.leave())
  }

  leave() {
    if (this.hasLeft) return
    this.hasLeft = true
    this.provider.destroy()
  }
}

class YWebsocketEditor extends Editor {
  /** The token of the next connections. Before version 2 the address is an attribute, as applications set it. */
  use(token) {
    this.token = token
    this.provider.params = { token }
    if (Object.hasOwn(this.provider, 'url')) this.provider.url = this.provider.url.replace(/\?.*/, `?token=${token}`)
  }

  /** The connection breaks. */
  breaks() {
    this.provider.ws.terminate()
  }
}

class HocuspocusEditor extends Editor {
  /** The reasons for which the document was denied. */
  denials = []
  /** Stateless messages. */
  received = []

  use(token) {
    this.token = token
  }

  leave() {
    super.leave()
    // Version 2 keeps the connection, although it has made it.
    if (this.ownsSocket) this.provider.configuration.websocketProvider.destroy()
  }

  breaks() {
    this.provider.configuration.websocketProvider.webSocket.terminate()
  }

  denied(count = 1) {
    return this.events.until('it is denied', () => this.denials.length >= count)
  }

  /** Waits until everything is acknowledged. */
  saved() {
    return this.events.until('everything is saved', () => this.provider.synced && !this.provider.hasUnsyncedChanges)
  }

  permitted(scope) {
    return this.events.until(`it is permitted ${scope}`, () => this.provider.authorizedScope === scope)
  }
}

class YSweetEditor extends Editor {
  use(token) {
    this.token = token
  }

  leave() {
    // It connects again, for ever, also when it is destroyed.
    if (this.provider.websocket) this.provider.websocket.onclose = null
    super.leave()
  }

  breaks() {
    this.provider.websocket.terminate()
  }

  /** Waits until everything is acknowledged. */
  saved() {
    return this.events.until('everything is saved', () => this.provider.synced && !this.provider.hasLocalChanges)
  }
}

/** The versions of y-websocket. */
export const Y_WEBSOCKET = ['1.5', '2.1', '3.1'].map((version) => ({
  name: `y-websocket ${version}`,
  async open(t, server, name, token) {
    const { WebsocketProvider } = await import(`y-websocket-${version}`)
    const editor = new YWebsocketEditor(token)
    const options = { WebSocketPolyfill: WebSocket, disableBc: true, params: { token } }
    const provider = new WebsocketProvider(`${server.webSocketUrl}/yjs`, name, editor.doc, options)
    provider.on('connection-close', (event) => event && editor.closings.push(event.code))
    editor.watch(t, provider, ['sync', 'synced', 'status', 'connection-close'])
    return editor
  },
}))

/** y-sweet. */
export const Y_SWEET = {
  name: 'y-sweet 0.9',
  /** With client tokens that are made by the application: the token in them is one for this server. */
  open(t, server, docId, token) {
    const url = `${server.webSocketUrl}/yjs`
    return this.openWith(t, docId, (editor) => ({ url, baseUrl: server.url, docId, token: editor.token }), token)
  },

  /** With what `clientToken` returns, which is asked for one before the first connection, and again while it cannot connect. */
  async openWith(t, docId, clientToken, token) {
    const { createYjsProvider } = await import('@y-sweet/client')
    const editor = new YSweetEditor(token)
    const options = { WebSocketPolyfill: WebSocket, showDebuggerLink: false }
    const provider = createYjsProvider(editor.doc, docId, async () => clientToken(editor), options)
    provider.on('connection-close', (event) => editor.closings.push(event.code))
    editor.watch(t, provider, ['connection-status', 'connection-close', 'local-changes'])
    return editor
  },
}

/** The versions of Hocuspocus. */
export const HOCUSPOCUS = ['2.15', '3.4', '4.8'].map((version) => ({
  name: `Hocuspocus ${version}`,
  /** Whether its clients send their token when they are asked for it. */
  sendsToken: version !== '2.15',

  /** A connection for several documents. */
  async connect(t, server) {
    const { HocuspocusProviderWebsocket } = await import(`hocuspocus-${version}`)
    const socket = new HocuspocusProviderWebsocket({ url: `${server.webSocketUrl}/hocuspocus`, WebSocketPolyfill: WebSocket })
    t.after(() => socket.destroy())
    return socket
  },

  async open(t, server, name, token, options = {}) {
    const { HocuspocusProvider } = await import(`hocuspocus-${version}`)
    const editor = new HocuspocusEditor(token)
    const provider = new HocuspocusProvider({
      ...(options.websocketProvider ? {} : { url: `${server.webSocketUrl}/hocuspocus`, WebSocketPolyfill: WebSocket }),
      name,
      document: editor.doc,
      token: () => editor.token,
      ...options,
    })
    provider.on('authenticationFailed', ({ reason }) => editor.denials.push(reason))
    provider.on('stateless', ({ payload }) => editor.received.push(payload))
    provider.on('close', ({ event }) => editor.closings.push(event.code))
    const events = ['authenticationFailed', 'authenticated', 'stateless', 'close', 'synced', 'unsyncedChanges']
    editor.ownsSocket = !options.websocketProvider
    editor.watch(t, provider, events)
    // Since version 3, a provider with a connection of several has to be attached.
    if (options.websocketProvider) provider.attach?.()
    return editor
  },
}))
