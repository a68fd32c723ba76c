/** The HTTP server: what guards it, the health routes, and the one place where an error becomes an answer. */

import { boundConnections, type Connections } from '@postviews/client/src/connections.ts'
import {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifySchema,
  fastify,
} from 'fastify'
import { describeError, type Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { StoreUnavailable } from '../store/failures.ts'
import type { Store } from '../store/store.ts'
import { type BrokerHealth, type ConsumerHealth, createHealth, type Health } from './health.ts'
import {
  type Allowed,
  PROBLEM_TYPE,
  Problem,
  READ_ONLY,
  refuseConnection,
  refusedParameter,
  refuseOddRequests,
} from './problem.ts'

export interface ServerOptions {
  store: Store
  broker: BrokerHealth | null
  consumer: ConsumerHealth | null
  /** Whether the process is about to end. */
  isStopping?: () => boolean
  metrics: Metrics
  log: Log
  /** Unix milliseconds. */
  now?: () => number
}

/** What the API adds to the server. */
export interface Additions {
  /** What the health routes answer. */
  schemas: { livez: FastifySchema; readyz: FastifySchema; metrics: FastifySchema }
  /** Called before the first route is added. */
  prepare(app: FastifyInstance): void
  addRoutes(app: FastifyInstance, parts: { health: Health; connections: Connections }): void
}

// These limits end slow and oversized requests long before they take what consuming needs.
const MAX_HEADER_BYTES = 16_384
/** For the headers, and for a whole request; Node swaps the two if the first is longer. */
const HEADERS_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 10_000
const ANSWER_TIMEOUT_MS = 15_000
/** For a client that neither sends nor reads: longer than an answer may take. */
const SILENCE_TIMEOUT_MS = 20_000
/** Between two requests. */
const IDLE_TIMEOUT_MS = 5_000
const CLOSE_TIMEOUT_MS = 3_000
/** Below the 1,024 files that some systems let a process open. */
const MAX_CONNECTIONS = 500
const RETRY_AFTER_SECONDS = 5

/**
 * Builds the server; nothing listens yet. A process without the API has the health routes alone, and loads none of the libraries
 * that the API needs.
 */
export function buildServer(
  { store, broker, consumer, isStopping = () => false, metrics, log, now = Date.now }: ServerOptions,
  additions?: Additions,
): FastifyInstance {
  const app = fastify({
    // Fastify logs every request with its URL; what is worth a line is logged below.
    logger: false,
    routerOptions: { maxParamLength: MAX_HEADER_BYTES },
    ajv: { customOptions: { removeAdditional: false, useDefaults: false } },
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: 1_000,
      // A request without it is refused below: Node would answer it with an empty body.
      requireHostHeader: false,
    },
    requestTimeout: REQUEST_TIMEOUT_MS,
    handlerTimeout: ANSWER_TIMEOUT_MS,
    connectionTimeout: SILENCE_TIMEOUT_MS,
    keepAliveTimeout: IDLE_TIMEOUT_MS,
    // Requests that came before the end are answered: the store closes after the API.
    return503OnClosing: false,
    frameworkErrors: answerError,
    clientErrorHandler: refuseConnection,
  })
  const connections = boundConnections(app.server, MAX_CONNECTIONS)
  refuseOddRequests(app.server)

  function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply) {
    const problem = toProblem(error, request)
    if (problem.status >= 500) logFailure(error, problem.status, request)
    return (
      reply
        .code(problem.status)
        .headers({ ...problem.headers, 'Cache-Control': 'no-store' })
        .type(PROBLEM_TYPE)
        // As bytes: to a text Fastify adds a charset, which this type does not have.
        .send(Buffer.from(problem.body()))
    )
  }

  function logFailure(error: Error, status: number, { method, routeOptions }: FastifyRequest) {
    const said = { method, route: routeOptions.url, status, error: describeError(error) }
    // 503 means that the store is away; the consumer logs since when.
    if (status === 503) return log.warn(said, 'request.failed')
    const stack = error.stack?.split('\n').filter(line => /^ +at /.test(line))
    log.error({ ...said, stack }, 'request.failed')
  }

  app.setErrorHandler(answerError)
  app.setNotFoundHandler(noRoute)

  app.addHook('onRequest', requireHost)
  app.addHook('preParsing', refuseWrites)
  app.addHook('onResponse', async ({ method, routeOptions }, { statusCode, elapsedTime }) => {
    metrics.httpSeconds.observe(
      { route: routeOptions.url ?? 'none', method, status: statusCode },
      elapsedTime / 1_000,
    )
  })
  // While the server closes, Node no longer times out slow clients; they must not keep the process alive.
  app.addHook('preClose', async () => {
    const timer = setTimeout(() => app.server.closeAllConnections(), CLOSE_TIMEOUT_MS)
    app.server.once('close', () => clearTimeout(timer))
    timer.unref()
  })

  additions?.prepare(app)
  const health = createHealth({ store, broker, consumer, isStopping, metrics, now })
  const { livez, readyz, metrics: exposition } = additions?.schemas ?? {}
  app.register(async routes => {
    routes.get('/livez', optionsOf(livez), async () => ({ status: 'alive' as const }))
    routes.get('/readyz', optionsOf(readyz), async (_request, reply) => {
      const problems = await health.problems()
      const found = health.warnings()
      const warnings = found.length === 0 ? {} : { warnings: found }
      if (problems.length === 0) return { status: 'ready' as const, ...warnings }
      return reply.code(503).send({ status: 'unavailable' as const, problems, ...warnings })
    })
    routes.get('/metrics', optionsOf(exposition), async (_request, reply) =>
      reply.type(metrics.registry.contentType).send(await health.exposition()),
    )
  })
  additions?.addRoutes(app, { health, connections })
  return app
}

function optionsOf(schema: FastifySchema | undefined) {
  return schema === undefined ? {} : { schema }
}

async function refuseWrites({ method }: FastifyRequest) {
  if (method === 'GET' || method === 'HEAD') return
  throw new Problem(405, 'this API is read-only: use GET or HEAD', { headers: READ_ONLY })
}

async function requireHost({ raw: { httpVersion, headers } }: FastifyRequest) {
  if (headers.host === undefined && httpVersion === '1.1')
    throw new Problem(400, 'the Host header is missing')
}

export async function noRoute() {
  throw new Problem(404, 'there is no such route')
}

/** Says what the sender may know, and nothing else: no message of a driver, no SQL, no address. */
function toProblem(error: FastifyError | Error, request: FastifyRequest): Problem {
  if (error instanceof Problem) return error
  if (error instanceof StoreUnavailable) return storeAway('the store does not answer', error)
  const { code, statusCode = 500, validation, validationContext } = error as Partial<FastifyError>
  if (validation?.[0] !== undefined) {
    const { params, querystring } = request.routeOptions.schema ?? {}
    const { properties } = (validationContext === 'params' ? params : querystring) as { properties: Allowed }
    return refusedParameter(validation[0], properties)
  }
  if (code === 'FST_ERR_HANDLER_TIMEOUT') {
    return storeAway(`the store did not answer within ${ANSWER_TIMEOUT_MS / 1_000} s`, error)
  }
  if (statusCode >= 400 && statusCode < 500)
    return new Problem(statusCode, 'the request cannot be read', { cause: error })
  return new Problem(500, 'an unexpected error occurred; it was logged', { cause: error })
}

function storeAway(detail: string, cause: Error): Problem {
  return new Problem(503, `${detail}; nothing is lost, try again later`, {
    headers: { 'Retry-After': String(RETRY_AFTER_SECONDS) },
    cause,
  })
}
