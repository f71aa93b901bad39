// What Node 20 lacks and Node 22 has, for example programs: `node --import` this file.

import WebSocket from 'ws'

globalThis.WebSocket ??= WebSocket
