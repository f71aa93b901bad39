// Several servers on one Redis, behind a load balancer.

import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { freePort, TIMEOUT_MS, PROGRAM, Server } from './server.js'

/** A Redis server of one test file: the installed program with an empty database. */
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

/** Waits until each of these servers counts `nodes` nodes in the cluster. */
export async function waitForCluster(servers, nodes = servers.length) {
  for (const server of servers) {
    await eventually('the servers form a cluster', async () => {
      const page = await (await fetch(`${server.url}/metrics`)).text()
      return page.includes(`\nrealtime_bus_connected 1\n`) && page.includes(`\nrealtime_bus_nodes ${nodes}\n`)
    })
  }
}

/** Forwards connections to the servers in rotation, round robin. */
export class Balancer {
  servers = []
  disconnects = new Set()
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
    for (const disconnect of this.disconnects) disconnect()
    this.disconnects.clear()
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
  const deadline = Date.now() + TIMEOUT_MS
  while (Date.now() < deadline) {
    if (await holds()) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`does not hold in time: ${what}`)
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
