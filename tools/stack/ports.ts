import { createServer, type Server } from 'node:net'

/** A name that no other run on this machine gets while we hold it. The kernel releases it however we end. */
export type Hold = { release(): void }
export type HeldPort = Hold & { port: number }

// Below Linux's ephemeral range (32768 and up), so that no outgoing connection gets the port meanwhile.
const FIRST_PORT = 20_000
const LAST_PORT = 32_000

/**
 * A free TCP port of 127.0.0.1 that no other run holds. It stays unused until the server binds it, so a stranger may take it first.
 * The server must then be given another port.
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
 * Takes a name for this run; undefined if another run has it. The name is an abstract Unix socket, which the kernel releases when
 * the process ends, so there are no stale lock files. Linux only; elsewhere nothing is held.
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
