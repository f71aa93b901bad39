// Stays in the room `held` of the server at URL, and joins again whenever it is disconnected. Prints `inside` when it has joined, the
// payload of each broadcast, and the close code when it is disconnected; broadcasts each line of its input to the room.
//
//     TOKEN=… node held.mjs URL

import { createInterface } from 'node:readline'

const [url] = process.argv.slice(2)
const topic = 'realtime:held'
let socket

connect()
createInterface({ input: process.stdin }).on('line', (said) => {
  push('broadcast', { type: 'broadcast', event: 'said', payload: { said } })
})
// Proxies close connections that are idle.
setInterval(() => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify({ topic: 'phoenix', event: 'heartbeat', payload: {}, ref: 'beat' })), 5_000)

function connect() {
  socket = new WebSocket(`${url.replace('http', 'ws')}/socket/websocket?apikey=${process.env.TOKEN}&vsn=1.0.0`)
  socket.onopen = () => push('phx_join', { config: {} })
  socket.onmessage = ({ data }) => {
    const { event, payload, ref } = JSON.parse(data)
    if (event === 'phx_reply' && ref === 'join' && payload.status === 'ok') console.log('inside')
    if (event === 'broadcast') console.log(JSON.stringify(payload.payload))
  }
  socket.onclose = ({ code }) => {
    console.log(`closed with ${code}`)
    setTimeout(connect, 200)
  }
}

function push(event, payload) {
  const ref = event === 'phx_join' ? 'join' : 'push'
  socket.send(JSON.stringify({ topic, event, payload, ref, join_ref: 'join' }))
}
