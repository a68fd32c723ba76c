/** A line with latency and any bandwidth: every byte arrives so much later, and many may be under way. */

import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface SlowLine {
  /** The same URL, leading through it. */
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
      // Timers of one length fire in the order in which they were set.
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
