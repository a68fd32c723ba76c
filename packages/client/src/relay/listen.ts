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
      // Any other error, such as a full queue of connections, means that somebody listens.
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
 * Listens on the socket file, for its owner and group. A file that nobody listens on was left by a process that
 * was killed, and is replaced.
 *
 * @throws {Error} when somebody listens, or something else has that name
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat !== undefined) {
    if (!stat.isSocket())
      throw new Error(`RELAY_SOCKET ${path} exists, but is not a socket: use another path`)
    const listener = await listenerOn(path)
    if (listener === 'somebody') {
      throw new Error(`RELAY_SOCKET ${path}: another process listens there: stop it, or use another path`)
    }
    if (listener === 'forbidden') {
      throw new Error(
        `RELAY_SOCKET ${path} belongs to user ${stat.uid}, and user ${process.getuid?.()} cannot tell whether a process listens there: if none does, remove it`,
      )
    }
    rmSync(path, { force: true })
  }
  await listening(server, () => {
    // The call creates the file, so the umask keeps others from connecting even for a moment.
    const mask = process.umask(0o117)
    try {
      server.listen(path)
    } finally {
      process.umask(mask)
    }
  }).catch((cause: unknown) => {
    const folder = dirname(path)
    const why = existsSync(folder) ? '' : `: create the folder ${folder}`
    throw new Error(`cannot listen on RELAY_SOCKET ${path}${why}`, { cause })
  })
}

/** @throws the server's error when it cannot listen */
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
