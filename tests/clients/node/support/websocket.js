// What Node 20 lacks and Node 22 has, for programs that are run as a newcomer would: `node --import` this.

import WebSocket from 'ws'

globalThis.WebSocket ??= WebSocket
