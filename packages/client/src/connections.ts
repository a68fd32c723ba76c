/** Limits a server's connections: a new one is never refused, because the least useful old one is closed for it. */

import type { Server } from 'node:http'
import type { Socket } from 'node:net'

export interface Connections {
  /** Marks a connection as authenticated, by a key or a session: such connections are closed last. */
  know(socket: Socket): void
}

/**
 * Limits a server to `max` connections. Beyond that, it closes the unauthenticated connection that has been
 * quiet longest; if there is none, the quietest authenticated one. So clients that hold connections without
 * authenticating keep nobody out, least of all a health probe, whose connection is the newest.
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
