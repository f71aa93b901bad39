// A PostgreSQL of one test file: a cluster of the installed programs, with an empty data directory.

import { execFileSync, spawn } from 'node:child_process'
import { chownSync, readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { freePort, TIMEOUT_MS } from './server.js'

const VERSIONS = '/usr/lib/postgresql'
const newest = readdirSync(VERSIONS).sort((one, other) => other - one)[0]
const program = (name) => join(VERSIONS, newest, 'bin', name)

/** PostgreSQL does not run as root: Debian's package makes a user for it. */
function owner() {
  if (process.getuid() !== 0) return {}
  const id = (flag) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
  return { uid: id('-u'), gid: id('-g') }
}

export class Postgres {
  static async start() {
    const postgres = new Postgres()
    postgres.port = await freePort()
    postgres.folder = await mkdtemp(join(tmpdir(), 'postgres-'))
    const user = owner()
    if (user.uid) chownSync(postgres.folder, user.uid, user.gid)
    const data = join(postgres.folder, 'data')
    const options = { stdio: 'ignore', cwd: '/', ...user }
    execFileSync(program('initdb'), ['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-sync', '-D', data], options)
    const settings = ['-c', 'wal_level=logical', '-c', 'fsync=off']
    const address = ['-h', '127.0.0.1', '-p', postgres.port, '-k', postgres.folder]
    postgres.process = spawn(program('postgres'), ['-D', data, ...address, ...settings], options)
    await postgres.#answers()
    return postgres
  }

  /** The URL of a database. */
  url(database = 'postgres') {
    return `postgres://postgres@127.0.0.1:${this.port}/${database}`
  }

  /** Runs statements, as a user pastes them into psql. Returns what they print. */
  sql(statements, database = 'postgres') {
    const args = ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', this.url(database)]
    return execFileSync(program('psql'), args, { input: statements, encoding: 'utf8', stdio: 'pipe' }).trim()
  }

  async stop() {
    const exit = once(this.process, 'exit')
    this.process.kill('SIGQUIT')
    await exit
    await rm(this.folder, { recursive: true, force: true })
  }

  async #answers() {
    const deadline = Date.now() + TIMEOUT_MS
    for (;;) {
      try {
        return this.sql('SELECT 1')
      } catch (error) {
        if (Date.now() > deadline) throw error
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
  }
}
