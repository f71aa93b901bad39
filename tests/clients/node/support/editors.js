// Editors: a Yjs document with an official provider, of each version that is tested.

import * as Y from 'yjs'
import WebSocket from 'ws'

import { TIMEOUT_MS } from './server.js'

/** Waits until a condition holds. Conditions are looked at when something has happened to the editor. */
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

  constructor(doc) {
    this.doc = doc ?? new Y.Doc()
    this.doc.on('update', this.events.happened)
  }

  get text() {
    return this.doc.getText('text').toString()
  }

  insert(text) {
    this.doc.getText('text').insert(0, text)
  }

  until(text) {
    return this.events.until(`the text is ${JSON.stringify(text)}`, () => this.text === text)
  }

  shows(name) {
    const isShown = () => [...this.provider.awareness.getStates().values()].some((state) => state.name === name)
    return this.events.until(`${name} is shown`, isShown)
  }

  showsNoMore(name) {
    const isShown = () => [...this.provider.awareness.getStates().values()].some((state) => state.name === name)
    return this.events.until(`${name} is no longer shown`, () => !isShown())
  }

  watch(provider) {
    this.provider = provider
    provider.awareness.on('change', this.events.happened)
  }
}

/** The versions of y-websocket. */
export const Y_WEBSOCKET = ['1.5', '2.1', '3.1'].map((version) => ({
  name: `y-websocket ${version}`,
  async open(t, server, name, token, doc) {
    const { WebsocketProvider } = await import(`y-websocket-${version}`)
    const editor = new Editor(doc)
    const options = { WebSocketPolyfill: WebSocket, disableBc: true, params: { token } }
    editor.watch(new WebsocketProvider(`${server.webSocketUrl}/yjs`, name, editor.doc, options))
    for (const event of ['sync', 'synced', 'status', 'connection-close']) {
      editor.provider.on(event, editor.events.happened)
    }
    editor.synced = () => editor.events.until('it is synchronised', () => editor.provider.synced)
    t.after(() => editor.provider.destroy())
    return editor
  },
}))

/** The versions of Hocuspocus. */
export const HOCUSPOCUS = ['2.15', '3.4', '4.8'].map((version) => ({
  name: `Hocuspocus ${version}`,
  async open(t, server, name, token, doc) {
    const { HocuspocusProvider } = await import(`hocuspocus-${version}`)
    const editor = new Editor(doc)
    editor.denials = []
    const provider = new HocuspocusProvider({
      url: `${server.webSocketUrl}/hocuspocus`,
      name,
      document: editor.doc,
      token,
      WebSocketPolyfill: WebSocket,
      onAuthenticationFailed: ({ reason }) => {
        editor.denials.push(reason)
        editor.events.happened()
      },
      onStateless: ({ payload }) => {
        editor.stateless = payload
        editor.events.happened()
      },
      onSynced: editor.events.happened,
      onUnsyncedChanges: editor.events.happened,
    })
    editor.watch(provider)
    editor.synced = () => editor.events.until('it is synchronised', () => provider.isSynced ?? provider.synced)
    editor.saved = () => editor.events.until('everything is saved', () => !provider.hasUnsyncedChanges)
    t.after(() => provider.destroy())
    return editor
  },
}))
