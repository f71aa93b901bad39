// The README's programs and proxy configurations, run unchanged except for ports and host names.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'

import { listener, person } from './support/people.js'
import { Postgres } from './support/postgres.js'
import { freePort, PROGRAM, TIMEOUT_MS, Server } from './support/server.js'

// The proxies use self-signed certificates. This file runs in a process of its own.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'

const readme = await readFile(new URL('../../../README.md', import.meta.url), 'utf8')

/** The code blocks of a language. */
function blocks(language) {
  return [...readme.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 'gs'))].map(([, text]) => text)
}

/** The only code block of a language. */
function block(language) {
  const found = blocks(language)
  assert.equal(found.length, 1, `blocks of ${language}`)
  return found[0]
}

/** Runs a program for supabase-js with this token. */
async function runClient(t, server, text, token) {
  const program = join(import.meta.dirname, `readme-${process.pid}-${t.name.length}.tmp.mjs`)
  t.after(() => rm(program, { force: true }))
  await writeFile(program, text.replace('http://localhost:8080', server.url))
  const env = { ...process.env, TOKEN: token }
  const { child } = run(t, process.execPath, ['--import', './support/websocket.js', program], {
    cwd: import.meta.dirname,
    env,
  })
  return { child, env }
}

/** A temporary folder, removed after the test. */
async function folder(t) {
  const path = await mkdtemp(join(tmpdir(), 'readme-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

/** Starts a program, stopped after the test. */
function run(t, program, args, options = {}) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text))
  t.after(async () => {
    if (child.exitCode !== null) return
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    await exit
  })
  return { child, output: () => output }
}

test('the program for supabase-js receives what curl sends', async (t) => {
  const server = await Server.start()
  t.after(() => server.close())
  const [program] = blocks('js')
  const { child, env } = await runClient(t, server, program, server.token())
  let printed = ''
  let sent = false
  const curl = readme.match(/^ {4}(curl .*? -d '.*?')$/ms)[1]
  for await (const text of child.stdout) {
    printed += text
    if (printed.includes('SUBSCRIBED') && !sent) {
      sent = true
      execFileSync('bash', ['-c', curl.replace('http://localhost:8080', server.url)], { env, stdio: 'ignore' })
    }
    if (printed.includes('{ x: 1, y: 2 }') && printed.includes("name: 'Ann'")) return
  }
  assert.fail(`the program ended: ${printed}`)
})

/** Waits until a program has printed this. */
async function printed({ child }, text) {
  let all = ''
  for await (const part of child.stdout) {
    all += part
    if (all.includes(text)) return
  }
  assert.fail(`the program ended: ${all}`)
}

test('the programs for documents edit one document, which the token of the example reads', async (t) => {
  const server = await Server.start()
  t.after(() => server.close())
  const [, ...documents] = blocks('js')
  const [yWebsocket, hocuspocus, ySweet] = documents.slice(0, 3).map((program) =>
    program
      .replace("'y-websocket'", "'y-websocket-3.1'")
      .replace("'@hocuspocus/provider'", "'hocuspocus-4.8'")
      .replace('localhost:8080', new URL(server.url).host),
  )
  const token = server.token()
  await printed(await runClient(t, server, yWebsocket, token), 'Hello. ')

  const [claims] = blocks('json')
  const reads = `${hocuspocus}
provider.on('authenticated', ({ scope }) => console.log(scope))
provider.on('synced', () => console.log(provider.document.getText('notes').toString()))`
  const reader = server.token({ role: undefined, ...JSON.parse(claims) })
  await printed(await runClient(t, server, reads, reader), 'readonly\nHello. ')

  const writes = `${hocuspocus}
provider.document.getText('notes').insert(0, 'And. ')`
  await printed(await runClient(t, server, writes, token), 'saved')

  const backend = server.token({ role: 'service_role', sub: undefined })
  await printed(await runClient(t, server, ySweet, backend), "authorization: 'read-only'")
})

/** An empty PostgreSQL, prepared by the commands of «Your Postgres», and the variables for a server with it. */
async function preparedPostgres(t) {
  const [postgres, secrets] = [await Postgres.start(), await folder(t)]
  t.after(() => postgres.stop())
  const [roles] = blocks('sql')
  postgres.sql(roles)
  const commands = readme.match(/^ {4}export REALTIME__TENANTS\S+\n.*? migrate .*?$/ms)[0]
  const [, url] = commands.replace('localhost:5432', `127.0.0.1:${postgres.port}`).match(/URL=(\S+)/)
  const variables = { REALTIME__TENANTS__DEFAULT__DATABASE__URL: url }
  const env = { ...process.env, PATH: `${dirname(PROGRAM)}:${process.env.PATH}` }
  const prepare = commands.replace('localhost:5432', `127.0.0.1:${postgres.port}`)
  const prepared = execFileSync('bash', ['-ec', prepare], { cwd: secrets, env, encoding: 'utf8' })
  assert.match(prepared, /81 versions applied.*5 partitions made/s)
  assert.doesNotMatch(prepared, /lacks/)
  return { postgres, variables }
}

test('from an empty database to private rooms and messages from SQL', async (t) => {
  const { postgres, variables } = await preparedPostgres(t)
  const [, policies, messages] = blocks('sql')
  postgres.sql(policies, 'app')
  const server = await Server.start(variables)
  t.after(() => server.close())
  const [, , , , program] = blocks('js')
  const [ann, bob] = ['ann', 'bob'].map((sub) => server.token({ sub }))
  const { child } = await runClient(t, server, program, ann)
  let printed = ''
  let sent = false
  for await (const text of child.stdout) {
    printed += text
    if (printed.includes('Replication connection established') && !sent) {
      sent = true
      postgres.sql(messages, 'app')
    }
    if (printed.includes("text: 'from SQL'") && printed.includes("title: 'write a policy'")) break
  }
  assert.match(printed, /SUBSCRIBED/)
  const other = await runClient(t, server, program, bob)
  let refused = ''
  for await (const text of other.child.stdout) {
    refused += text
    if (refused.includes('CHANNEL_ERROR')) break
  }
  assert.match(refused, /Unauthorized: You do not have permissions to read from this Channel topic: room1/)
})

test('from an empty database to changes of tables', async (t) => {
  const { postgres, variables } = await preparedPostgres(t)
  const [, , , tables, rows] = blocks('sql')
  postgres.sql(tables, 'app')
  const server = await Server.start(variables)
  t.after(() => server.close())
  const [, , , , , program] = blocks('js')
  const { child } = await runClient(t, server, program, server.token({ sub: 'ann' }))
  let printed = ''
  let written = false
  for await (const text of child.stdout) {
    printed += text
    if (printed.includes('Subscribed to PostgreSQL') && !written) {
      written = true
      postgres.sql(rows, 'app')
    }
    if (printed.includes('DELETE test')) break
  }
  const changes = printed.split('\n').filter((line) => /^(INSERT|UPDATE|DELETE) /.test(line))
  const note = "INSERT notes { id: 1, owner: 'ann', content: 'buy milk' }"
  assert.deepEqual(changes, ['INSERT test { id: 1 }', note, 'DELETE test { id: 1 }'])
})

test('a tenant is created over HTTP', async (t) => {
  const operators = { API_JWT_SECRET: 'the secret of operators, of 32 bytes or more' }
  const server = await Server.start(operators)
  t.after(() => server.close())
  const curl = readme.match(/^ {4}(curl -X POST \S+\/api\/tenants .*?\}\}')$/ms)[1]
  const env = { ...process.env, ...operators, PATH: `${dirname(PROGRAM)}:${process.env.PATH}` }
  const created = execFileSync('bash', ['-c', curl.replace('http://localhost:8080', server.url)], { env })
  assert.equal(JSON.parse(created).data.external_id, 'acme')
})

/** The server as clients reach it through a proxy. */
const through = (server, port) => ({
  url: `https://localhost:${port}`,
  disconnects: server.disconnects,
  token: (claims) => server.token(claims),
})

/** Waits until the proxy responds at `url`. */
async function answered(url, proxy) {
  const deadline = Date.now() + TIMEOUT_MS
  while (Date.now() < deadline && proxy.child.exitCode === null) {
    const response = await fetch(url).catch(() => undefined)
    if (response?.ok) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.fail(`no answer from ${url}: ${proxy.output()}`)
}

/** Checks what every proxy configuration must do: pass on clients, and refuse operators. */
async function checkProxy(t, server, port, proxy) {
  const front = through(server, port)
  await answered(`${front.url}/health`, proxy)
  const ann = await listener(person(t, front), 'room')
  const bob = await listener(person(t, front), 'room')
  const hello = { type: 'broadcast', event: 'hello', payload: { n: 1 } }
  assert.equal(await ann.channel.send(hello), 'ok')
  assert.deepEqual(await bob.received.next(), hello)
  assert.deepEqual(await person(t, front).channel('room').httpSend('hello', { n: 2 }), { success: true })
  assert.deepEqual((await bob.received.next()).payload, { n: 2 })
  for (const path of ['/metrics', '/status', '/admin/reload']) {
    assert.equal((await fetch(front.url + path)).status, 404, path)
  }
}

test('nginx passes on clients and refuses operators', async (t) => {
  const server = await Server.start()
  t.after(() => server.close())
  const [directory, port] = [await folder(t), await freePort()]
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=localhost']
  const [cert, key] = ['realtime.crt', 'realtime.key'].map((name) => join(directory, name))
  execFileSync('openssl', ['req', ...kind, '-keyout', key, '-out', cert], { stdio: 'ignore' })
  const recipe = block('nginx')
    .replace('127.0.0.1:8080', `127.0.0.1:${server.port}`)
    .replace('listen 443 ssl', `listen 127.0.0.1:${port} ssl`)
    .replaceAll('/etc/nginx/tls', directory)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((of) => `${of}_temp_path ${directory}/${of};`)
  const http = `${temporary.join('\n')}\naccess_log off;\n${recipe}`
  const user = process.getuid() === 0 ? 'user root;\n' : ''
  await writeFile(join(directory, 'nginx.conf'), `${user}daemon off;\npid ${directory}/pid;\nevents {}\nhttp {\n${http}}\n`)
  const proxy = run(t, 'nginx', ['-e', 'stderr', '-p', directory, '-c', join(directory, 'nginx.conf')], {
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
  })
  await checkProxy(t, server, port, proxy)
})

test('Caddy passes on clients and refuses operators', async (t) => {
  const server = await Server.start()
  t.after(() => server.close())
  const [directory, port] = [await folder(t), await freePort()]
  // A self-signed certificate: no public authority issues one for localhost.
  const recipe = block('caddy')
    .replace('127.0.0.1:8080', `127.0.0.1:${server.port}`)
    .replace('realtime.example.com {', `https://localhost:${port} {\n    tls internal\n    bind 127.0.0.1`)
  const options = `{\n    admin off\n    skip_install_trust\n    auto_https disable_redirects\n    storage file_system ${directory}\n}\n`
  await writeFile(join(directory, 'Caddyfile'), options + recipe)
  const proxy = run(t, 'caddy', ['run', '--config', join(directory, 'Caddyfile'), '--adapter', 'caddyfile'], {
    env: { ...process.env, HOME: directory, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory },
  })
  await checkProxy(t, server, port, proxy)
})
