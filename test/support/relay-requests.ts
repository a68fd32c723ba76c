/** The relay's HTTP, as raw as a socket: a request may be begun and not ended. */

import { once } from 'node:events'
import { createConnection } from 'node:net'
import type { TestContext } from 'node:test'
import { atEnd } from './at-end.ts'
import type { Relay } from './relay.ts'

const TURNS = 20

export interface RawHttp {
  /** Sends the head of a request with views, and what there is to be of its body; the rest may follow by `write`. */
  begin(type: 'application/json' | 'application/x-ndjson', bodyBytes: number, body: string): void
  write(text: string): void
  destroy(): void
  /** All that came back. */
  text(): string
  /** The relay, or we, have ended it. */
  readonly isClosed: boolean
  /** What ended it, if it was not an orderly end. */
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

/** A whole request with one event. */
export function post(relay: Relay, body: string | Buffer<ArrayBuffer>): Promise<Response> {
  return fetch(`${relay.url}/views`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
  })
}

/** Waits until the relay has looked at all its connections some times: it does before each answer to a request. */
export async function untilItHasLooked(relay: Relay): Promise<void> {
  for (let turn = 1; turn <= TURNS; turn++) await relay.metric('connections')
}
