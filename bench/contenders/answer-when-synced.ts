/** Syncs what arrives to disk, answers, and does nothing else: no relay that keeps its promise can be faster. */

import { constants, openSync, writeSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { setImmediate as thisTurn } from 'node:timers/promises'

const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_DSYNC
const file = openSync(`${process.env['RELAY_SOCKET']}.views`, flags, 0o600)

interface Line {
  socket: Socket
  bytes: Buffer
}
let group: Line[] = []

const server = createServer({ allowHalfOpen: true }, socket => {
  socket.on('error', () => {}) // The caller has left.
  socket.on('end', () => socket.end())
  socket.on('data', bytes => {
    if (group.push({ socket, bytes }) === 1) void writeSoon()
  })
})
server.listen(process.env['RELAY_SOCKET'])
process.once('SIGTERM', () => process.exit(0))

async function writeSoon(): Promise<void> {
  // As the relay does: what a new connection sends is read one turn of the event loop after the connection is accepted.
  await thisTurn()
  await thisTurn()
  const written = group
  group = []
  writeSync(file, Buffer.concat(written.map(({ bytes }) => bytes)))
  for (const { socket } of written) socket.write('ok\n')
}
