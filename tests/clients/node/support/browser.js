// A headless Chromium: pages of a script that is bundled for it, driven over the DevTools protocol.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { build } from 'esbuild'
import WebSocket from 'ws'

import { TIMEOUT_MS } from './server.js'

const PROGRAM = '/usr/bin/chromium'

/** Why there is no browser on this machine, if there is none. */
export const MISSING = !existsSync(PROGRAM) && 'SKIPPED: Chromium is not installed'

export class Browser {
  #calls = new Map()
  /** What to do when the page of a session is loaded. */
  #loads = new Map()
  #last = 0

  /** Starts it, with pages that run the script in `file`. */
  static async start(file) {
    const browser = new Browser()
    await browser.#serve(file)
    browser.folder = await mkdtemp(join(tmpdir(), 'chromium-'))
    const options = ['--headless=new', '--no-sandbox', '--remote-debugging-port=0', `--user-data-dir=${browser.folder}`]
    browser.process = spawn(PROGRAM, options, { stdio: ['ignore', 'ignore', 'pipe'] })
    for await (const line of createInterface({ input: browser.process.stderr })) {
      const [, address] = line.match(/^DevTools listening on (.*)/) ?? []
      if (!address) continue
      browser.socket = new WebSocket(address)
      break
    }
    browser.process.stderr.resume()
    await once(browser.socket, 'open')
    browser.socket.on('message', (message) => browser.#receive(JSON.parse(message)))
    return browser
  }

  async #serve(file) {
    const options = { bundle: true, write: false, format: 'iife', platform: 'browser', logLevel: 'error' }
    const { outputFiles } = await build({ entryPoints: [file], ...options })
    const page = '<!doctype html><meta charset="utf-8"><div id="editor"></div><script src="/page.js"></script>'
    this.pages = createServer((request, response) => {
      const isScript = request.url === '/page.js'
      response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
      response.end(isScript ? outputFiles[0].text : page)
    })
    this.pages.listen(0, '127.0.0.1')
    await once(this.pages, 'listening')
  }

  /** Sends a command, to a page if there is a session. Returns its result. */
  send(method, params = {}, sessionId = undefined) {
    const id = ++this.#last
    this.socket.send(JSON.stringify({ id, method, params, sessionId }))
    return new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }))
  }

  #receive({ id, result, error, method, sessionId }) {
    if (method === 'Page.loadEventFired') this.#loads.get(sessionId)?.()
    const call = this.#calls.get(id)
    this.#calls.delete(id)
    if (error) call?.reject(new Error(error.message))
    else call?.resolve(result)
  }

  /** A page whose script reads `parameters`. */
  async open(parameters) {
    const hash = encodeURIComponent(JSON.stringify(parameters))
    const url = `http://127.0.0.1:${this.pages.address().port}/#${hash}`
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank', newWindow: true })
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true })
    const loaded = new Promise((resolve) => this.#loads.set(sessionId, resolve))
    await this.send('Page.enable', {}, sessionId)
    await this.send('Page.navigate', { url }, sessionId)
    await loaded
    return new Page(this, sessionId)
  }

  async stop() {
    const exit = once(this.process, 'exit')
    this.process.kill('SIGKILL')
    await exit
    this.pages.close()
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

class Page {
  constructor(browser, sessionId) {
    this.browser = browser
    this.sessionId = sessionId
  }

  /** Evaluates an expression, once its promise is fulfilled. */
  async evaluate(expression) {
    const params = { expression, awaitPromise: true, returnByValue: true }
    const { result, exceptionDetails } = await this.browser.send('Runtime.evaluate', params, this.sessionId)
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
    return result.value
  }

  /** Waits until an expression is true. */
  until(expression) {
    return this.evaluate(`new Promise((resolve, reject) => {
      const late = Date.now() + ${TIMEOUT_MS}
      const look = () => {
        if (${expression}) return resolve()
        if (Date.now() > late) return reject(new Error(${JSON.stringify(expression)} + ' in: ' + document.body.innerText))
        setTimeout(look, 20)
      }
      look()
    })`)
  }

  /** Types, as a person does, where the caret is. */
  async type(text) {
    for (const letter of text) {
      await this.browser.send('Input.insertText', { text: letter }, this.sessionId)
    }
  }
}
