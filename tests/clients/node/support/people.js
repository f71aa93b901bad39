// People with supabase-js: they connect, join, listen, and are tidied away after each test.

import { createClient } from '@supabase/supabase-js'
import WebSocket from 'ws'

import { PATIENCE } from './server.js'

/** What somebody heard, to be taken one by one. Nothing is ever waited for by the clock. */
export class Inbox {
  #heard = []
  #waiting = []

  put = (message) => {
    const next = this.#waiting.shift()
    if (next) next(message)
    else this.#heard.push(message)
  }

  /** The next message. */
  async next(what = 'a message') {
    if (this.#heard.length > 0) return this.#heard.shift()
    return within(new Promise((resolve) => this.#waiting.push(resolve)), what)
  }

  /** The next message for which `holds`; those before it are passed over. */
  async until(holds, what = 'the message') {
    for (;;) {
      const message = await this.next(what)
      if (holds(message)) return message
    }
  }

  /** Whether nothing has come. */
  get empty() {
    return this.#heard.length === 0
  }
}

/** `promise`, or an error that says what never came. */
export async function within(promise, what) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} never came`)), PATIENCE)
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
  const goodbye = () => client.realtime.disconnect()
  server.guests.add(goodbye)
  test.after(() => server.guests.delete(goodbye) && goodbye())
  return client
}

/**
 * Somebody whose application hands out tokens, `token` at first. Like every signed-in application it has
 * one before it joins: supabase-js would otherwise join with the key.
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

/** The same with the first serializer. */
export function personV1(test, server, options = {}) {
  return person(test, server, { ...options, realtime: { ...options.realtime, vsn: '1.0.0' } })
}

/** Subscribes; the statuses arrive in the inbox as `{status, reason}`. */
export function subscribe(channel) {
  const statuses = new Inbox()
  channel.subscribe((status, error) => statuses.put({ status, reason: error?.message }))
  return statuses
}

/** Subscribes and waits until it is done. */
export async function joined(channel) {
  const statuses = subscribe(channel)
  const { status, reason } = await statuses.next('an answer to the join')
  if (status !== 'SUBSCRIBED') throw new Error(`${status}: ${reason}`)
  return statuses
}

/** A channel of `client` that is joined, and what it hears of broadcasts. */
export async function listener(client, topic, config = {}) {
  const channel = client.channel(topic, { config })
  const heard = new Inbox()
  channel.on('broadcast', { event: '*' }, heard.put)
  const statuses = await joined(channel)
  return { channel, heard, statuses }
}
