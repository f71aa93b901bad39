// The program that `serve --dev` prints, pasted and run with nothing else set up.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { PROGRAM, freePort } from './support/server.js'

// The output of a process up to the text `wanted`.
async function printed(child, wanted) {
  let text = ''
  for await (const chunk of child.stdout) {
    text += chunk
    if (wanted.test(text)) return text
  }
  assert.fail(`the process ended before it printed ${wanted}: ${text}`)
}

test('the printed program receives its own broadcast', { timeout: 30_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'first-program-'))
  const program = join(import.meta.dirname, `printed-${process.pid}.tmp.mjs`)
  const env = { ...process.env, REALTIME__SERVER__DATA_DIR: folder, HOST: '127.0.0.1', PORT: await freePort() }
  delete env.JWT_SECRET
  const server = spawn(PROGRAM, ['serve', '--dev'], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(async () => {
    server.kill('SIGINT')
    await rm(folder, { recursive: true })
    await rm(program, { force: true })
  })
  const welcome = await printed(server, /Ctrl-C stops/)
  const lines = welcome.split('\n').map((line) => line.replace(/^ {2}/, ''))
  const start = lines.findIndex((line) => line.startsWith('import '))
  const end = lines.findIndex((line, number) => number > start && line === '})')
  await writeFile(program, lines.slice(start, end + 1).join('\n'))
  const example = spawn(process.execPath, ['--import', './support/websocket.js', program], {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => example.kill())
  assert.match(await printed(example, /received/), /received: hello, room/)
})
