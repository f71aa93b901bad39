// supabase-js clients for tests: they connect, join and receive, and are disconnected after each test.

import { createClient } from '@supabase/supabase-js'
import WebSocket from 'ws'

import { TIMEOUT_MS } from './server.js'

/** A queue of received messages. Waits end with the next message, never after a fixed time. */
export class Inbox {
  #received = []
  #waiting = []

  put = (message) => {
    const next = this.#waiting.shift()
    if (next) next(message)
    else this.#received.push(message)
  }

  /** The next message. */
  async next(what = 'a message') {
    if (this.#received.length > 0) return this.#received.shift()
    return within(new Promise((resolve) => this.#waiting.push(resolve)), what)
  }

  /** The next message for which `holds` is true; those before it are discarded. */
  async until(holds, what = 'the message') {
    for (;;) {
      const message = await this.next(what)
      if (holds(message)) return message
    }
  }

  /** Whether no message is waiting. */
  get empty() {
    return this.#received.length === 0
  }
}

/** `promise`, or an error that names what did not come in time. */
export async function within(promise, what) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come in time`)), TIMEOUT_MS)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** A supabase-js client of one test. Node 20 has no global WebSocket, so it gets one. */
export function person(test, server, { token = server.token(), realtime = {}, ...options } = {}) {
  const client = createClient(server.url, token, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    realtime: { transport: WebSocket, ...realtime },
    ...options,
  })
  const disconnect = () => client.realtime.disconnect()
  server.disconnects.add(disconnect)
  test.after(() => server.disconnects.delete(disconnect) && disconnect())
  return client
}

/**
 * A client whose application provides tokens, `token` at first. As in every signed-in application, the token is set
 * before the join: supabase-js would otherwise join with the key.
 */
export async function signedIn(test, server, token) {
  const client = person(test, server, { accessToken: async () => token })
  const refresh = async (fresh) => {
    token = fresh
    await client.realtime.setAuth()
  }
  await client.realtime.setAuth()
  return { client, refresh }
}

/** A client with the V1 serializer. */
export function personV1(test, server, options = {}) {
  return person(test, server, { ...options, realtime: { ...options.realtime, vsn: '1.0.0' } })
}

/** Subscribes; the statuses arrive in the inbox as `{status, reason}`. */
export function subscribe(channel) {
  const statuses = new Inbox()
  channel.subscribe((status, error) => statuses.put({ status, reason: error?.message }))
  return statuses
}

/** Subscribes and waits until the channel is joined. */
export async function joined(channel) {
  const statuses = subscribe(channel)
  const { status, reason } = await statuses.next('a reply to the join')
  if (status !== 'SUBSCRIBED') throw new Error(`${status}: ${reason}`)
  return statuses
}

/** A joined channel of `client`, and the broadcasts that it receives. */
export async function listener(client, topic, config = {}) {
  const channel = client.channel(topic, { config })
  const received = new Inbox()
  channel.on('broadcast', { event: '*' }, received.put)
  const statuses = await joined(channel)
  return { channel, received, statuses }
}
