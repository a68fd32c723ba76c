import { readFileSync } from 'node:fs'
import { type AddressInfo, connect } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'

const pem = readFileSync(new URL('./localhost.pem', import.meta.url))

/** A self-signed certificate for localhost and 127.0.0.1, only for tests. */
export const certificate: Buffer = pem

/** Accepts TLS on a port of 127.0.0.1, and forwards the plain data to a server without TLS. */
export async function startTlsFront(serverPort: number): Promise<{ port: number; close(): Promise<void> }> {
  const clients = new Set<TLSSocket>()
  const front = createServer({ key: pem, cert: pem }, client => {
    const server = connect(serverPort, '127.0.0.1')
    clients.add(client)
    client.pipe(server).pipe(client)
    // When one side closes, for whatever reason, the other is closed too.
    client.on('error', () => {}).on('close', () => clients.delete(client) && server.destroy())
    server.on('error', () => {}).on('close', () => client.destroy())
  })
  await new Promise<void>(resolve => front.listen(0, '127.0.0.1', resolve))
  return {
    port: (front.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise<void>(resolve => front.close(() => resolve()))
      for (const client of clients) client.destroy()
      await closed
    },
  }
}
