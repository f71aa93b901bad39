// The versions of the official JavaScript clients that are in use, behind one interface: connect, join a room,
// send; and inboxes of what was received, of the rows that were written, and of the sockets that were opened.

import WebSocket from 'ws'

import { Inbox, within } from './people.js'
import './websocket.js'

/** Each client's name, and what loads it. */
export const CLIENTS = [
  ...['1.4', '1.5', '1.6', '1.7', '1.8'].map((version) => ['phoenix.js', version, `phoenix-${version}`, PhoenixMember]),
  ...['2.9', '2.10', '2.11', '2.15', '3'].map((version) => ['realtime-js', version, `realtime-js-${version}`, RealtimeMember]),
  ['realtime-js', 'current', '@supabase/realtime-js', RealtimeMember],
].map(([client, version, name, Member]) => ({ name: `${client} ${version}`, load: () => load(name, Member) }))

/** No heartbeats, so that only pongs keep the connection open; and short delays before reconnects. */
const RECONNECT_OPTIONS = { heartbeatIntervalMs: 600_000, reconnectAfterMs: () => 50, rejoinAfterMs: () => 50 }

async function load(name, Member) {
  const module = await import(name)
  // Up to phoenix.js 1.5 the package is one object.
  const library = module.Socket || module.RealtimeClient ? module : module.default
  return (test, server, options) => new Member(library, test, server, options)
}

/** A WebSocket class that puts its instances into `sockets`. */
function recorded(sockets, socketOptions) {
  return class extends WebSocket {
    constructor(url, protocols, options) {
      super(url, protocols, { ...options, ...socketOptions })
      this.ended = new Promise((resolve) => this.on('close', (code, reason) => resolve({ code, reason: `${reason}` })))
      sockets.put(this)
    }

    /** How it ends: code and reason. */
    end() {
      return within(this.ended, 'the end of the connection')
    }
  }
}

/** The parts that all clients share. */
function member(self, test, server, disconnect) {
    server.disconnects.add(disconnect)
  test.after(() => server.disconnects.delete(disconnect) && disconnect())
  for (const inbox of ['sockets', 'joins', 'received', 'notices', 'present', 'written']) self[inbox] = new Inbox()
}

/** A client of phoenix.js: connected, and after `join` in a room. */
function PhoenixMember({ Socket, Presence }, test, server, { socketOptions } = {}) {
  member(this, test, server, () => socket.disconnect())
  const url = `${server.url.replace('http', 'ws')}/realtime/v1`
  const transport = recorded(this.sockets, socketOptions)
  const socket = new Socket(url, { ...RECONNECT_OPTIONS, transport, params: { apikey: server.token() } })
  socket.connect()

  this.join = async (topic, config = {}) => {
    const channel = socket.channel(`realtime:${topic}`, { config })
    const presence = new Presence(channel)
    presence.onSync(() => this.present.put(Object.keys(presence.state)))
    channel.on('broadcast', this.received.put)
    channel.on('system', this.notices.put)
    channel.on('postgres_changes', ({ data }) => this.written.put(data.record))
    channel.join().receive('ok', this.joins.put).receive('error', this.joins.put)
    this.send = (event, payload) => channel.push('broadcast', { type: 'broadcast', event, payload })
    this.track = (payload) => channel.push('presence', { type: 'presence', event: 'track', payload })
    await this.joins.next('the join')
    return this
  }
}

/** A client of realtime-js: connected, and after `join` in a room. */
function RealtimeMember({ RealtimeClient }, test, server, { socketOptions } = {}) {
  member(this, test, server, () => client.disconnect())
  const url = `${server.url.replace('http', 'ws')}/realtime/v1`
  // The global class, because realtime-js 2.9 to 2.11 reads nothing from a transport that is handed to it.
  globalThis.WebSocket = recorded(this.sockets, socketOptions)
  const client = new RealtimeClient(url, { ...RECONNECT_OPTIONS, params: { apikey: server.token() } })
  client.connect()

  this.join = async (topic, config = {}) => {
    const channel = client.channel(topic, { config })
    // From 2.15 on, the listener itself enables presence.
    if (config.presence) {
      channel.on('presence', { event: 'sync' }, () => this.present.put(Object.keys(channel.presenceState())))
    }
    for (const binding of config.postgres_changes ?? []) {
      channel.on('postgres_changes', binding, ({ new: row }) => this.written.put(row))
    }
    channel.on('broadcast', { event: '*' }, this.received.put)
    channel.on('system', {}, this.notices.put)
    channel.subscribe((status) => status === 'SUBSCRIBED' && this.joins.put(status))
    this.send = (event, payload) => channel.send({ type: 'broadcast', event, payload })
    this.track = (payload) => channel.track(payload)
    await this.joins.next('the join')
    return this
  }
}
