// Stays in one room of the server at URL, and joins and leaves a second one until a join is refused; then prints the
// reason and exits with 0. Prints `inside` when it has joined both, so that the test can lower the limit.
//
//     TOKEN=… node until_refused.mjs URL

const [url] = process.argv.slice(2)
const socket = new WebSocket(`${url.replace('http', 'ws')}/socket/websocket?apikey=${process.env.TOKEN}&vsn=2.0.0`)
const second = 'realtime:second'
let ref = 0
let said = false
let joined

setTimeout(() => leave(1, 'was never refused'), 15_000)
socket.onclose = ({ code }) => leave(1, `closed with ${code}`)
socket.onopen = () => push(`${++ref}`, 'realtime:first', 'phx_join', { config: {} })
socket.onmessage = ({ data }) => {
  const [, , topic, event, { status, response }] = JSON.parse(data)
  if (event !== 'phx_reply') return
  if (status === 'error') leave(topic === second ? 0 : 1, `refused: ${JSON.stringify(response)}`)
  else if (topic === second && joined) goOut()
  // Slower than any limit on joins, faster than anyone waits for a reload.
  else setTimeout(goIn, 50)
}

function goIn() {
  joined = `${++ref}`
  push(joined, second, 'phx_join', { config: {} })
}

function goOut() {
  if (!said) console.log('inside')
  said = true
  push(joined, second, 'phx_leave', {})
  joined = undefined
}

function push(membership, topic, event, payload) {
  socket.send(JSON.stringify([membership, `${++ref}`, topic, event, payload]))
}

function leave(code, why) {
  console.log(why)
  process.exit(code)
}
