/** Where the relay listens: on a socket file of its own, or on the one that systemd hands over. */

import { existsSync, lstatSync, rmSync } from 'node:fs'
import { connect, type Server } from 'node:net'
import { dirname } from 'node:path'

/** The first descriptor that systemd hands over. */
const FIRST_DESCRIPTOR = 3

/** Whether some process listens on a socket, even one that is stopped; `forbidden`: this user cannot find out. */
export type Listener = 'somebody' | 'nobody' | 'forbidden'

export function listenerOn(path: string): Promise<Listener> {
  return new Promise(resolve => {
    const socket = connect(path)
    const answer = (listener: Listener) => {
      socket.destroy()
      resolve(listener)
    }
    socket.once('connect', () => answer('somebody'))
    socket.once('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'ECONNREFUSED' || code === 'ENOENT') answer('nobody')
      // Anything else, a full queue of connections say, is somebody's.
      else answer(code === 'EACCES' || code === 'EPERM' ? 'forbidden' : 'somebody')
    })
  })
}

/** Whether systemd hands over a socket: `sd_listen_fds(3)`. */
export function isActivated(env: Record<string, string | undefined>): boolean {
  return env['LISTEN_PID'] === String(process.pid) && Number(env['LISTEN_FDS']) >= 1
}

export function listenOnActivated(server: Server): Promise<void> {
  return listening(server, () => server.listen({ fd: FIRST_DESCRIPTOR }))
}

/**
 * Listens on the socket file, for its owner and group. One that nobody listens on is left from a process that was killed,
 * and is replaced.
 *
 * @throws {Error} when somebody listens, or something else has that name
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat !== undefined) {
    if (!stat.isSocket())
      throw new Error(`RELAY_SOCKET ${path} is there, and is no socket: name another path`)
    const listener = await listenerOn(path)
    if (listener === 'somebody') {
      throw new Error(`RELAY_SOCKET ${path}: another process listens there: end it, or name another path`)
    }
    if (listener === 'forbidden') {
      throw new Error(
        `RELAY_SOCKET ${path} belongs to user ${stat.uid}, and user ${process.getuid?.()} cannot tell whether anybody listens there: if nobody does, remove it`,
      )
    }
    rmSync(path, { force: true })
  }
  await listening(server, () => {
    // The file is made within the call, and nobody else may connect to it for a moment either.
    const mask = process.umask(0o117)
    try {
      server.listen(path)
    } finally {
      process.umask(mask)
    }
  }).catch((cause: unknown) => {
    const folder = dirname(path)
    const why = existsSync(folder) ? '' : `: there is no folder ${folder}, make it`
    throw new Error(`cannot listen on RELAY_SOCKET ${path}${why}`, { cause })
  })
}

/** @throws what the server could not listen for */
export async function listening(server: Server, listen: () => void): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.once('listening', () => {
      server.off('error', reject)
      resolve()
    })
    listen()
  })
}
