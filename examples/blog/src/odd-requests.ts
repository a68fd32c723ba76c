/** Requests that Node would answer or drop by itself: not HTTP, too slow, too long, CONNECT, `Expect`. */

import { type Server, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { SECURITY_HEADERS } from './headers.ts'

const STATUS_OF: Record<string, number> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 }

/** A `clientErrorHandler` for Fastify that answers with this page. */
export function answerUnreadable(page: string) {
  return (error: Error & { code?: string }, socket: Socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy()
    else answer(socket, STATUS_OF[error.code ?? ''] ?? 400, page)
  }
}

export function answerOddRequests(server: Server, page: string): void {
  server.on('connect', (_request, socket: Socket) => answer(socket, 405, page))
  // An unknown expectation may be ignored (RFC 9110, 10.1.1).
  server.on('checkExpectation', (request, response) => server.emit('request', request, response))
}

function answer(socket: Socket, status: number, page: string): void {
  const headers = {
    ...SECURITY_HEADERS,
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Length': Buffer.byteLength(page),
    'Cache-Control': 'no-store',
    Connection: 'close',
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${page}`)
  socket.destroySoon()
}
