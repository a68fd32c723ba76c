/** The error answers of the API: RFC 9457, the same for every route and for requests that reach no route. */

import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifySchemaValidationError } from 'fastify'

// Not an import: that would read all exports of the module, and so load Node's HTTP client, which takes 10 MB.
const { STATUS_CODES } = process.getBuiltinModule('node:http')

export const PROBLEM_TYPE = 'application/problem+json'

export const READ_ONLY = { Allow: 'GET, HEAD' }

interface ProblemOptions {
  /** Which parameter of the request is wrong. */
  parameter?: string
  headers?: Record<string, string>
  cause?: unknown
}

/** A request that cannot be answered, for a reason its sender may know: the message is sent as `detail`. */
export class Problem extends Error {
  override name = 'Problem'
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly parameter: string | undefined

  constructor(status: number, detail: string, { parameter, headers = {}, cause }: ProblemOptions = {}) {
    super(detail, { cause })
    this.status = status
    this.headers = headers
    this.parameter = parameter
  }

  /** As JSON; `parameter` is left out where there is none. */
  body(): string {
    const { status, message: detail, parameter } = this
    return JSON.stringify({
      type: 'about:blank',
      title: STATUS_CODES[status] ?? 'Error',
      status,
      detail,
      parameter,
    })
  }
}

/** @param must completes a sentence that begins with the parameter's name */
export function badParameter(parameter: string, must: string): Problem {
  return new Problem(400, `${parameter} ${must}`, { parameter })
}

/** The members of a schema of parameters, as far as a refusal quotes them. */
export type Allowed = Record<string, { description?: string }>

/** Says which parameter a schema refused, and what it allows: its description up to the first full stop. */
export function refusedParameter(
  { instancePath, params }: FastifySchemaValidationError,
  allowed: Allowed,
): Problem {
  const unknown = params['additionalProperty']
  if (typeof unknown === 'string') {
    const known = Object.keys(allowed).join(', ')
    return badParameter(
      unknown,
      `is not a parameter of this route, ${known === '' ? 'which takes none' : `which takes ${known}`}`,
    )
  }
  const name = String(params['missingProperty'] ?? instancePath.slice(1))
  return badParameter(
    name,
    `must be ${allowed[name]?.description?.split(/\.(?: |$)/)[0] ?? 'something else'}`,
  )
}

const SOCKET_STATUS: Record<string, number> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 }
const SOCKET_DETAIL: Record<number, string> = {
  400: 'this is not HTTP',
  408: 'the request took too long to arrive',
  431: 'URL and headers together are too long',
}

/** Answers what Node refused before there was a request: too slow, too large, or no HTTP at all. */
export function refuseConnection(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const status = SOCKET_STATUS[error.code ?? ''] ?? 400
  answerSocket(socket, new Problem(status, SOCKET_DETAIL[status]!))
}

/** Answers requests that Node would answer or drop by itself: CONNECT, and `Expect`. */
export function refuseOddRequests(server: Server): void {
  server.on('connect', (_request: IncomingMessage, socket: Socket) =>
    answerSocket(socket, new Problem(405, 'this API is read-only: use GET or HEAD', { headers: READ_ONLY })),
  )
  // An unknown expectation may be ignored (RFC 9110, 10.1.1).
  server.on('checkExpectation', (request, response) => server.emit('request', request, response))
}

function answerSocket(socket: Socket, problem: Problem): void {
  const body = problem.body()
  const headers = {
    ...problem.headers,
    'Content-Type': PROBLEM_TYPE,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    Connection: 'close',
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n${lines.join('')}\r\n${body}`)
  socket.destroySoon()
}
