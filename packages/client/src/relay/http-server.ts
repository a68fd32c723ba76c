import { isUtf8 } from 'node:buffer'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { finished } from 'node:stream/promises'
import { MAX_EVENTS_PER_MESSAGE } from '../view.ts'
import { answerLine, type Intake, isTemporary, type Outcome } from './intake.ts'

const REQUEST_MS = 10_000
const MAX_CONNECTIONS = 100
/** Parsed JSON may take twenty times as much memory. */
const MAX_BODY_BYTES = 524_288
/** Of all bodies together that are not answered yet. */
const MAX_IN_HAND_BYTES = 4 * 1_048_576
const RETRY_AFTER_SECONDS = 5
const LINE_FEED = 0x0a

export interface HttpServerOptions {
  intake: Intake
  /** Why the relay cannot take views, if it cannot; and warnings for the operator. */
  readiness(): { problem: string | undefined; warnings: string[] }
  metrics(): string
}

/** The sizes of all request bodies that are being received or answered, in sum. */
interface InHand {
  bytes: number
}

interface Reply {
  status: number
  text: string
  headers?: Record<string, string>
}

/** The HTTP server: `POST /views` for callers that cannot use a unix socket, and the routes for probes and Prometheus. */
export function createHttpServer(options: HttpServerOptions): Server {
  const inHand: InHand = { bytes: 0 }
  const server = createServer(
    { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS, connectionsCheckingInterval: 1_000 },
    (request, response) => void answer(request, response, options, inHand),
  )
  server.maxConnections = MAX_CONNECTIONS
  return server
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: HttpServerOptions,
  inHand: InHand,
): Promise<void> {
  // A caller that has gone needs no answer.
  response.on('error', () => {})
  try {
    const { status, text, headers = {} } = await replyTo(request, options, inHand)
    // Otherwise shutdown would wait for a kept-alive connection.
    if (options.intake.isStopping) headers['Connection'] = 'close'
    headers['Content-Length'] = String(Buffer.byteLength(text))
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', ...headers }).write(text)
    await rest(request)
    response.end()
  } catch {
    // The caller has gone while it sent the body, or the outcome is unknown.
    response.destroy()
  }
}

/**
 * Reads and discards the rest of a body that was answered early. If the connection were closed while the caller
 * still writes, the caller could seldom read the answer. The server's requestTimeout ends a body without end.
 */
async function rest(request: IncomingMessage): Promise<void> {
  request.resume()
  if (!request.readableEnded) await finished(request)
}

async function replyTo(request: IncomingMessage, options: HttpServerOptions, inHand: InHand): Promise<Reply> {
  const [path] = (request.url ?? '').split('?', 1)
  const allowed = { '/views': 'POST', '/livez': 'GET', '/readyz': 'GET', '/metrics': 'GET' }[path!]
  if (allowed === undefined) {
    return { status: 404, text: 'the routes are POST /views, GET /livez, GET /readyz and GET /metrics\n' }
  }
  if (request.method !== allowed) {
    return { status: 405, text: `${path} takes ${allowed}\n`, headers: { Allow: allowed } }
  }
  if (path === '/views') return await takeViews(request, options, inHand)
  if (path === '/livez') return { status: 200, text: 'ok\n' }
  if (path === '/metrics') {
    return {
      status: 200,
      text: options.metrics(),
      headers: { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' },
    }
  }
  const { problem, warnings } = options.readiness()
  return {
    status: problem === undefined ? 200 : 503,
    text: `${JSON.stringify({ status: problem ?? 'ok', warnings })}\n`,
    headers: { 'Content-Type': 'application/json' },
  }
}

async function takeViews(
  request: IncomingMessage,
  { intake }: HttpServerOptions,
  inHand: InHand,
): Promise<Reply> {
  const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
  // A web page can make a browser on this machine send other types to this server, but not these.
  if (type !== 'application/json' && type !== 'application/x-ndjson') {
    return {
      status: 415,
      text: 'send Content-Type: application/json with one event or an array of them, or application/x-ndjson with one event per line\n',
      headers: { 'Accept-Post': 'application/json, application/x-ndjson' },
    }
  }
  const bytes = Number(request.headers['content-length'] ?? MAX_BODY_BYTES)
  if (bytes > MAX_BODY_BYTES) return tooLarge()
  if (inHand.bytes + bytes > MAX_IN_HAND_BYTES) {
    return {
      status: 503,
      text: 'the relay is busy: send it again\n',
      headers: { 'Retry-After': '1' },
    }
  }
  inHand.bytes += bytes
  try {
    return await takeBody(await bodyOf(request), type, intake)
  } finally {
    inHand.bytes -= bytes
  }
}

function tooLarge(): Reply {
  return { status: 413, text: `send at most ${MAX_BODY_BYTES} bytes\n` }
}

async function takeBody(body: Buffer | undefined, type: string, intake: Intake): Promise<Reply> {
  if (body === undefined) return tooLarge()
  const events = type === 'application/json' ? eventsIn(body) : linesIn(body)
  if (events.length === 0) return { status: 400, text: 'the body has no event\n' }
  if (events.length > MAX_EVENTS_PER_MESSAGE) {
    return { status: 413, text: `send at most ${MAX_EVENTS_PER_MESSAGE} events\n` }
  }
  const outcomes = await Promise.all(events.map(each => outcomeOf(intake, each)))
  const reasons = outcomes.filter(outcome => outcome !== 'unknown')
  // Closing without an answer tells the caller that the outcome is unknown.
  if (reasons.length < outcomes.length) throw new Error('it is not known whether all of it is in the spool')
  const refused = reasons.filter(reason => reason !== undefined)
  const status = refused.length === 0 ? 200 : refused.some(isTemporary) ? 503 : 400
  return {
    status,
    text: reasons.map(answerLine).join(''),
    headers: status === 503 ? { 'Retry-After': String(RETRY_AFTER_SECONDS) } : {},
  }
}

/** An event as it was received: as a line, or parsed from JSON. */
type Given = { line: Buffer } | { event: unknown }

function outcomeOf(intake: Intake, given: Given): Promise<Outcome> {
  return new Promise(resolve => {
    if ('line' in given) intake.acceptLine(given.line, resolve)
    else intake.acceptEvent(given.event, resolve)
  })
}

function eventsIn(body: Buffer): Given[] {
  try {
    // Decoding would replace the invalid bytes, and the event would look valid.
    if (!isUtf8(body)) return [{ line: body }]
    const content: unknown = JSON.parse(body.toString('utf8'))
    // One event above the limit is enough to know that there are too many.
    if (Array.isArray(content)) return content.slice(0, MAX_EVENTS_PER_MESSAGE + 1).map(event => ({ event }))
  } catch {
    // It is not JSON: reading it as a line gives the reason for the caller.
  }
  return [{ line: body }]
}

function linesIn(body: Buffer): Given[] {
  const lines: Given[] = []
  for (let start = 0; start < body.length && lines.length <= MAX_EVENTS_PER_MESSAGE; ) {
    const found = body.indexOf(LINE_FEED, start)
    const end = found === -1 ? body.length : found
    lines.push({ line: body.subarray(start, end) })
    start = end + 1
  }
  return lines
}

/** Undefined when it is too long. */
async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  // By default, leaving the loop destroys the connection that the answer needs.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
