// Several servers on one Redis, and the load balancer before them.

import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { freePort, PATIENCE, PROGRAM, Server } from './server.js'

/** A Redis of one's own: the installed program, with nothing in it. */
export class Redis {
  static async start() {
    const redis = new Redis()
    redis.port = await freePort()
    redis.folder = await mkdtemp(join(tmpdir(), 'redis-'))
    const options = ['--port', redis.port, '--bind', '127.0.0.1', '--save', '', '--dir', redis.folder]
    redis.process = spawn('redis-server', options, { stdio: 'ignore' })
    await eventually('Redis answers', () => isOpen(redis.port))
    return redis
  }

  get url() {
    return `redis://localhost:${this.port}`
  }

  async stop() {
    const exit = once(this.process, 'exit')
    this.process.kill('SIGKILL')
    await exit
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** A server that shares secret and Redis with others, of this version or another. */
export async function node(redis, secret, program = PROGRAM) {
  const server = new Server()
  server.program = program
  server.secret = secret
  server.environment = { REDIS_URL: redis.url }
  server.port = await freePort()
  await server.start()
  return server
}

/** Waits until each of these servers hears so many. */
export async function hearEachOther(servers, nodes = servers.length) {
  for (const server of servers) {
    await eventually('the servers hear each other', async () => {
      const page = await (await fetch(`${server.url}/metrics`)).text()
      return page.includes(`\nrealtime_bus_connected 1\n`) && page.includes(`\nrealtime_bus_nodes ${nodes}\n`)
    })
  }
}

/** Passes connections on, in turns, to the servers that are in rotation. */
export class Balancer {
  servers = []
  guests = new Set()
  #turn = 0

  static async start(secret) {
    const balancer = new Balancer()
    balancer.secret = secret
    balancer.listener = createServer((client) => balancer.#pass(client))
    balancer.listener.listen(0, '127.0.0.1')
    await once(balancer.listener, 'listening')
    return balancer
  }

  get url() {
    return `http://127.0.0.1:${this.listener.address().port}`
  }

  token() {
    return Server.prototype.token.call(this)
  }

  stop() {
    for (const goodbye of this.guests) goodbye()
    this.guests.clear()
    this.listener.close()
  }

  #pass(client) {
    const server = connect(this.servers[this.#turn++ % this.servers.length].port, '127.0.0.1')
    for (const [one, other] of [[client, server], [server, client]]) {
      one.setNoDelay(true)
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
    }
    client.pipe(server).pipe(client)
  }
}

async function eventually(what, holds) {
  const deadline = Date.now() + PATIENCE
  while (Date.now() < deadline) {
    if (await holds()) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`never came true: ${what}`)
}

async function isOpen(port) {
  const socket = connect(port, '127.0.0.1')
  const open = await once(socket, 'connect').then(
    () => true,
    () => false,
  )
  socket.destroy()
  return open
}
