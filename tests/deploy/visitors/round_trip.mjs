// Two people with supabase-js meet in a room of the server at URL; one speaks, the other hears it. Leaves with 0
// if it happened in time.
//
//     TOKEN=… node round_trip.mjs URL

import { createRequire } from 'node:module'

// The official client is installed where it is tested.
const installed = createRequire(new URL('../../clients/node/package.json', import.meta.url))
const { createClient } = installed('@supabase/supabase-js')

const [url] = process.argv.slice(2)
const words = `hello at ${Date.now()}`
setTimeout(() => leave(1, 'nothing was heard in time'), 15_000)

const speaker = await enter('speaker')
const listener = await enter('listener')
listener.on('broadcast', { event: 'words' }, ({ payload }) => {
  if (payload.words === words) leave(0, `heard: ${words}`)
})
await speaker.send({ type: 'broadcast', event: 'words', payload: { words } })

/** A member of the room, once the server says so. */
function enter(who) {
  const client = createClient(url, process.env.TOKEN, { auth: { persistSession: false } })
  const room = client.channel('round-trip', { config: { presence: { key: who } } })
  return new Promise((resolve) => {
    room.subscribe((status, error) => {
      if (status === 'SUBSCRIBED') resolve(room)
      else leave(1, `${who}: ${status} ${error?.message ?? ''}`)
    })
  })
}

function leave(code, why) {
  console.log(why)
  process.exit(code)
}
