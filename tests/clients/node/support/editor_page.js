// The page of a real editor: Tiptap or CodeMirror, with the provider that the address names.

import { Editor } from '@tiptap/core'
import { Collaboration } from '@tiptap/extension-collaboration'
import { CollaborationCaret } from '@tiptap/extension-collaboration-caret'
import { StarterKit } from '@tiptap/starter-kit'
import { basicSetup, EditorView } from 'codemirror'
import { HocuspocusProvider } from 'hocuspocus-4.8'
import { yCollab } from 'y-codemirror.next'
import { WebsocketProvider } from 'y-websocket-3.1'
import * as Y from 'yjs'

const { editor, protocol, url, name, token, user } = JSON.parse(decodeURIComponent(location.hash.slice(1)))
const element = document.getElementById('editor')
const document_ = new Y.Doc()

const providers = {
  'y-websocket': () => new WebsocketProvider(`${url}/yjs`, name, document_, { params: { token } }),
  Hocuspocus: () => new HocuspocusProvider({ url: `${url}/hocuspocus`, name, document: document_, token }),
}
const provider = providers[protocol]()

const editors = {
  Tiptap() {
    const caret = CollaborationCaret.configure({ provider, user: { name: user, color: '#aa0000' } })
    const extensions = [StarterKit.configure({ undoRedo: false }), Collaboration.configure({ document: document_ }), caret]
    const tiptap = new Editor({ element, extensions })
    window.focusEditor = () => {
      // Not the command `focus`, which waits until the browser draws.
      tiptap.view.focus()
      tiptap.commands.setTextSelection(tiptap.state.doc.content.size)
    }
    window.shownText = () => tiptap.getText()
  },
  CodeMirror() {
    provider.awareness.setLocalStateField('user', { name: user, color: '#aa0000', colorLight: '#ffaaaa' })
    const text = document_.getText('code')
    const extensions = [basicSetup, yCollab(text, provider.awareness)]
    const view = new EditorView({ doc: text.toString(), parent: element, extensions })
    window.shownText = () => view.state.doc.toString()
    window.focusEditor = () => {
      view.focus()
      view.dispatch({ selection: { anchor: view.state.doc.length } })
    }
  },
}
editors[editor]()

/** Whether everything that was there was received, and what was typed is saved as far as the protocol says. */
window.isSynced = () => provider.synced && !provider.hasUnsyncedChanges
