// Stays in a room of the server at URL until it is disconnected, and prints `inside`, then the close code. Exits
// with 0 if that was 1012 (service restart).
//
//     TOKEN=… node until_closed.mjs URL

const [url] = process.argv.slice(2)
const socket = new WebSocket(`${url.replace('http', 'ws')}/socket/websocket?apikey=${process.env.TOKEN}&vsn=2.0.0`)

socket.onopen = () => socket.send(JSON.stringify(['1', '1', 'realtime:closed', 'phx_join', { config: {} }]))
socket.onmessage = ({ data }) => {
  const [, , , event, payload] = JSON.parse(data)
  if (event === 'phx_reply' && payload.status === 'ok') console.log('inside')
}
socket.onclose = ({ code }) => {
  console.log(`closed with ${code}`)
  process.exit(code === 1012 ? 0 : 1)
}
