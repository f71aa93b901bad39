// Real editors in a real browser: Tiptap and CodeMirror, each on two pages, one with y-websocket and the other with Hocuspocus.

import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { Browser, MISSING } from './support/browser.js'
import { Server } from './support/server.js'

let server
let browser
before(async () => {
  if (MISSING) return
  server = await Server.start()
  browser = await Browser.start(fileURLToPath(new URL('support/editor_page.js', import.meta.url)))
})
after(async () => {
  await browser?.stop()
  await server?.close()
})

for (const editor of ['Tiptap', 'CodeMirror']) {
  test(`${editor}: what is typed on one page is seen on the other, with who types it`, { skip: MISSING }, async () => {
    const open = (protocol, user) => {
      const token = server.token({ sub: user, role: undefined })
      return browser.open({ editor, protocol, url: server.webSocketUrl, name: `editors/${editor}`, token, user })
    }
    const [ann, bob] = [await open('y-websocket', 'ann'), await open('Hocuspocus', 'bob')]
    for (const page of [ann, bob]) await page.until('window.isSynced?.()')
    const shows = (page, text) => page.until(`window.shownText?.() === ${JSON.stringify(text)}`)
    await ann.evaluate('focusEditor()')
    await ann.type('Hello ')
    await shows(bob, 'Hello ')
    await bob.until("document.querySelector('#editor').innerText.includes('ann')")
    await bob.evaluate('focusEditor()')
    await bob.type('world')
    await shows(ann, 'Hello world')
    await bob.until('isSynced()')
    const late = await open('Hocuspocus', 'eve')
    await shows(late, 'Hello world')
  })
}
