/** How many connections there are: a newcomer is never refused, the connection that is missed least makes room for it. */

import type { Server } from 'node:http'
import type { Socket } from 'node:net'

export interface Connections {
  /** Whoever talks on this one is known, by a key or a session: it is among the last to be closed. */
  know(socket: Socket): void
}

/**
 * Holds a server to `max` connections. Beyond it the one of a stranger that has been quiet for longest is closed, and
 * only where there is no other stranger, that of somebody known. So whoever holds connections without being known keeps
 * nobody out, least of all a health probe, whose connection is the newest.
 */
export function boundConnections(server: Server, max: number): Connections {
  // Both in the order of their last request, the quietest first.
  const strangers = new Set<Socket>()
  const known = new Set<Socket>()

  server.on('connection', (socket: Socket) => {
    socket.once('close', () => {
      strangers.delete(socket)
      known.delete(socket)
    })
    if (strangers.size + known.size >= max) {
      const [quietest] = strangers.size > 0 ? strangers : known
      quietest?.destroy()
      if (quietest !== undefined) {
        // Its `close` event comes later; until then the next newcomer must not choose it again.
        strangers.delete(quietest)
        known.delete(quietest)
      }
    }
    strangers.add(socket)
  })
  server.on('request', ({ socket }) => {
    const group = known.has(socket) ? known : strangers
    if (group.delete(socket)) group.add(socket)
  })

  return {
    know(socket) {
      if (strangers.delete(socket)) known.add(socket)
    },
  }
}
