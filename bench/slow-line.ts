/** A line with latency but unlimited bandwidth: every byte arrives later by that time, and many may be in transit. */

import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface SlowLine {
  /** The same URL, but through this line. */
  url: string
  close(): Promise<void>
}

export async function startSlowLine(url: string, oneWayMs: number): Promise<SlowLine> {
  const { hostname, port } = new URL(url)
  const sockets = new Set<Socket>()
  const server = createServer(client => {
    const broker = connect(Number(port), hostname)
    for (const [from, to] of [
      [client, broker],
      [broker, client],
    ] as const) {
      sockets.add(from)
      from.setNoDelay(true)
      from.on('error', () => {}) // 'close' follows, and ends the other side.
      // Timers of the same duration fire in the order in which they were set.
      from.on('data', bytes => void setTimeout(() => to.write(bytes), oneWayMs))
      from.on('close', () => {
        sockets.delete(from)
        setTimeout(() => to.destroy(), oneWayMs)
      })
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const through = new URL(url)
  through.port = String((server.address() as AddressInfo).port)
  return {
    url: through.href,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
