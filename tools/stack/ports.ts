import { createServer, type Server } from 'node:net'

/** Something no other run on this machine has while we hold it; the kernel gives it back however we end. */
export type Hold = { release(): void }
export type HeldPort = Hold & { port: number }

// Below Linux's ephemeral range (32768 and up), so that no outgoing connection is given the number meanwhile.
const FIRST_PORT = 20_000
const LAST_PORT = 32_000

/**
 * A TCP port of 127.0.0.1 that nothing listens on and that no other run holds. Nothing listens on it afterwards
 * either: the server it is meant for may still find it taken by a stranger and must then be given another.
 */
export async function holdFreePort(): Promise<HeldPort> {
  for (let tries = 0; tries < 200; tries++) {
    const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT))
    const held = await hold(`port-${port}`)
    if (!held) continue
    if (await isFree(port)) return { port, release: held.release }
    held.release()
  }
  throw new Error(`no free port between ${FIRST_PORT} and ${LAST_PORT} after 200 tries`)
}

/**
 * Takes a name for this run, or gives nothing if another run has it. The name is an abstract Unix socket: the
 * kernel lets it go when the process ends, so there is no stale lock file to reason about. Linux only; elsewhere
 * nothing is held.
 */
export async function hold(name: string): Promise<Hold | undefined> {
  if (process.platform !== 'linux') return { release: () => {} }
  const server = await listen({ path: `\0postviews-${name}` })
  if (!server) return undefined
  server.unref()
  return { release: () => server.close() }
}

export async function isFree(port: number): Promise<boolean> {
  const server = await listen({ host: '127.0.0.1', port })
  if (!server) return false
  await new Promise(resolve => server.close(resolve))
  return true
}

function listen(address: { path: string } | { host: string; port: number }): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer(socket => socket.destroy())
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(undefined)
      else reject(error)
    })
    server.listen(address, () => resolve(server))
  })
}
