/** Requests that Node would answer or drop by itself: not HTTP, too slow, too long, CONNECT, `Expect`. */

import { type Server, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Headers } from './headers.ts'

/** Writes the page for a refusal. */
export type Page = (title: string, text: string) => string

const REFUSALS: Record<number, { title: string; text: string }> = {
  400: { title: 'Not understood', text: 'The request cannot be read.' },
  405: { title: 'Not understood', text: 'The panel does not support this kind of request.' },
  408: { title: 'Too slow', text: 'The request took too long to arrive.' },
  431: {
    title: 'Too long',
    text: 'The address and headers of the request are too long.',
  },
}
const STATUS_OF: Record<string, number> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 }

export function createRefusals(page: Page, headers: Headers) {
  function answer(socket: Socket, status: number): void {
    const { title, text } = REFUSALS[status]!
    const body = page(title, text)
    const all = {
      ...headers,
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Length': Buffer.byteLength(body),
      'Cache-Control': 'no-store',
      Connection: 'close',
    }
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
    socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`)
    socket.destroySoon()
  }

  return {
    /** A `clientErrorHandler` of Fastify. */
    unreadable(error: Error & { code?: string }, socket: Socket): void {
      if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy()
      else answer(socket, STATUS_OF[error.code ?? ''] ?? 400)
    },

    listenTo(server: Server): void {
      server.on('connect', (_request, socket: Socket) => answer(socket, 405))
      // A server may ignore an unknown expectation (RFC 9110, 10.1.1).
      server.on('checkExpectation', (request, response) => server.emit('request', request, response))
    },
  }
}
