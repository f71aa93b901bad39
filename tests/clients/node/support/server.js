// A real realtime-server process on a free port of this machine, and tokens that it accepts.
//
// The program is $REALTIME_SERVER, or the one that `cargo build` has built. It is ready when /health responds.

import { execFileSync, spawn } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { get } from 'node:http'
import { get as getOverTls } from 'node:https'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The program under test. */
export const PROGRAM =
  process.env.REALTIME_SERVER ?? fileURLToPath(new URL('../../../../target/debug/realtime-server', import.meta.url))

/** The previous version, which tests/previous-version builds; undefined where it could not be built. */
export const PREVIOUS_PROGRAM = process.env.REALTIME_SERVER_PREVIOUS

/** The timeout of every single wait. */
export const TIMEOUT_MS = 30_000

export class Server {
  program = PROGRAM
  secret = randomBytes(32).toString('base64')
  port = 0
  /** Functions that disconnect the connected clients. */
  disconnects = new Set()
  #process
  #folder
  #log = ''

  /** Starts a server; `environment` may change its settings. */
  static async start(environment = {}) {
    const server = new Server()
    server.environment = environment
    server.port = await freePort()
    await server.start()
    return server
  }

  get url() {
    const scheme = this.environment.REALTIME__SERVER__TLS__CERT_FILE ? 'https' : 'http'
    return `${scheme}://127.0.0.1:${this.port}`
  }

  /** Where WebSockets are opened, without a path. */
  get webSocketUrl() {
    return this.url.replace(/^http/, 'ws')
  }

  async start() {
    const { program, port, secret, environment } = this
    // Many servers run at once, each with a data directory of its own.
    this.#folder ??= await mkdtemp(join(tmpdir(), 'realtime-server-'))
    const own = { REALTIME__SERVER__DATA_DIR: this.#folder }
    // No load balancer has to take the server out of rotation, and tests do not wait for a drain.
    const withoutDrain = { REALTIME__SERVER__DRAIN_DELAY: '0s', REALTIME__SERVER__DRAIN_TIMEOUT: '0s' }
    this.#process = spawn(program, ['serve'], {
      env: { ...process.env, JWT_SECRET: secret, PORT: String(port), HOST: '127.0.0.1', ...own, ...withoutDrain, ...environment },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#process.stderr.on('data', (text) => (this.#log += text))
    const failed = once(this.#process, 'error').then(([error]) => Promise.reject(error))
    await Promise.race([failed, this.#healthy()])
  }

  /** Runs another command of the program with the settings of this server. Returns what it prints. */
  command(...args) {
    const own = { REALTIME__SERVER__DATA_DIR: this.#folder, JWT_SECRET: this.secret }
    return execFileSync(this.program, args, { env: { ...process.env, ...own, ...this.environment }, encoding: 'utf8' })
  }

  /** Ends a test: disconnects the clients first, or they would reconnect for ever. */
  async close() {
    for (const disconnect of this.disconnects) disconnect()
    this.disconnects.clear()
    await this.stop()
    await rm(this.#folder, { recursive: true, force: true })
  }

  /** Stops gracefully (SIGTERM); connections are closed with 1012. */
  async stop() {
    if (this.#process.exitCode !== null) return
    const exit = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    await exit
  }

  /** Ends at once, as by a loss of power. */
  async kill() {
    const exit = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await exit
  }

  async restart() {
    await this.stop()
    await this.start()
  }

  /** A user's token; `claims` overrides the defaults. */
  token(claims = {}) {
    const now = Math.floor(Date.now() / 1000)
    const parts = [
      { alg: 'HS256', typ: 'JWT' },
      { role: 'authenticated', aud: 'authenticated', sub: 'ann', exp: now + 3600, ...claims },
    ].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    const signature = createHmac('sha256', this.secret).update(parts.join('.')).digest('base64url')
    return [...parts, signature].join('.')
  }

  /** A token that expires in this number of seconds, or has expired if negative. */
  tokenFor(seconds) {
    return this.token({ exp: Math.floor(Date.now() / 1000) + seconds })
  }

  async #healthy() {
    const deadline = Date.now() + TIMEOUT_MS
    while (Date.now() < deadline && this.#process.exitCode === null) {
      if (await isOk(`${this.url}/health`)) return
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    throw new Error(`the server did not start:\n${this.#log}`)
  }
}

/** Whether a GET is answered with 200, over a connection of its own. */
async function isOk(url) {
  const request = (url.startsWith('https:') ? getOverTls : get)(url, { agent: false })
  const [response] = await once(request, 'response').catch(() => [])
  response?.resume()
  return response?.statusCode === 200
}

/** A free port. */
export async function freePort() {
  const listener = createServer().listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address()
  listener.close()
  await once(listener, 'close')
  return port
}
