/** A raw client of the relay's HTTP port, which can leave a request unfinished. */

import { once } from 'node:events'
import { createConnection } from 'node:net'
import type { TestContext } from 'node:test'
import { atEnd } from './at-end.ts'
import type { Relay } from './relay.ts'

const TURNS = 20

export interface RawHttp {
  /** Sends the head of a request and the first part of its body; `write` can send the rest. */
  begin(type: 'application/json' | 'application/x-ndjson', bodyBytes: number, body: string): void
  write(text: string): void
  destroy(): void
  /** Everything received so far. */
  text(): string
  /** The relay, or this client, has closed the connection. */
  readonly isClosed: boolean
  /** The error that ended it, if any. */
  readonly error: Error | undefined
}

export async function connectHttp(t: TestContext, relay: Relay): Promise<RawHttp> {
  const { hostname, port } = new URL(relay.url)
  const socket = createConnection(Number(port), hostname).setEncoding('utf8')
  atEnd(t, () => socket.destroy())
  let text = ''
  let isClosed = false
  socket.on('data', data => {
    text += data
  })
  let error: Error | undefined
  // 'close' follows.
  socket.on('error', cause => {
    error = cause
  })
  socket.on('close', () => {
    isClosed = true
  })
  await once(socket, 'connect')
  return {
    begin(type, bodyBytes, body) {
      const headers = ['Host: relay', `Content-Type: ${type}`, `Content-Length: ${bodyBytes}`]
      socket.write(`POST /views HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n${body}`)
    },
    write: more => void socket.write(more),
    destroy: () => void socket.destroy(),
    text: () => text,
    get isClosed() {
      return isClosed
    },
    get error() {
      return error
    },
  }
}

/** Sends a complete request with one event. */
export function post(relay: Relay, body: string | Buffer<ArrayBuffer>): Promise<Response> {
  return fetch(`${relay.url}/views`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
  })
}

/** Waits until the relay has checked its connections several times: it does so before it answers a request. */
export async function untilItHasLooked(relay: Relay): Promise<void> {
  for (let turn = 1; turn <= TURNS; turn++) await relay.metric('connections')
}
