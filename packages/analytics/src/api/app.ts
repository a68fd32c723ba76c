/** The internal API: the table of routes, what guards them, and the one place where an error becomes an answer. */

import swagger from '@fastify/swagger'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { boundConnections } from '@postviews/client/src/connections.ts'
import { createLoopTurns } from '@postviews/client/src/loop-turns.ts'
import {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
} from 'fastify'
import { describeError, type Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { StoreUnavailable } from '../store/failures.ts'
import type { Store } from '../store/store.ts'
import { type BrokerHealth, type ConsumerHealth, createHealth } from './health.ts'
import { KEY_HEADER, requireKey } from './key.ts'
import {
  type Allowed,
  PROBLEM_TYPE,
  Problem,
  READ_ONLY,
  refuseConnection,
  refusedParameter,
  refuseOddRequests,
} from './problem.ts'
import { revalidate } from './revalidate.ts'
import * as schemas from './schemas.ts'
import { createViews } from './views.ts'

export interface ApiOptions {
  store: Store
  /** Any of them lets a request in. None: only the health routes are there. */
  apiKeys: readonly string[]
  broker: BrokerHealth | null
  consumer: ConsumerHealth | null
  /** Whether the process is about to end. */
  isStopping?: () => boolean
  metrics: Metrics
  log: Log
  /** Unix milliseconds. */
  now?: () => number
  /** How old a list of posts may be that takes a while to read. */
  listMaxAgeMs?: number
}

// Slow and oversized requests are ended by these, long before they could take what consuming needs.
const MAX_HEADER_BYTES = 16_384
/** For the headers, and for a whole request; Node exchanges the two where the first is the longer. */
const HEADERS_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 10_000
const ANSWER_TIMEOUT_MS = 15_000
/** For who neither sends nor reads: longer than an answer may take. */
const SILENCE_TIMEOUT_MS = 20_000
/** Between two requests. */
const IDLE_TIMEOUT_MS = 5_000
const CLOSE_TIMEOUT_MS = 3_000
/** Below the 1,024 files that some systems let a process open. */
const MAX_CONNECTIONS = 500
/** `as_of` is promised to be at most 5 s ago when the answer is there, where views are counted with their batch. */
const LIST_MAX_AGE_MS = 4_000
const JSON_TYPE = 'application/json; charset=utf-8'
const POST_ENTRY: Record<string, unknown> = { ...schemas.PostEntry }
const RETRY_AFTER_SECONDS = 5

/** Builds the API; nothing listens yet. */
export function buildApi({
  store,
  apiKeys,
  broker,
  consumer,
  isStopping = () => false,
  metrics,
  log,
  now = Date.now,
  listMaxAgeMs = LIST_MAX_AGE_MS,
}: ApiOptions): FastifyInstance {
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
    // 503 is the weather: the store is away, and it is the consumer that tells since when.
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
  // Once it closes, Node no longer times slow clients out; they must not hold the process.
  app.addHook('preClose', async () => {
    const timer = setTimeout(() => app.server.closeAllConnections(), CLOSE_TIMEOUT_MS)
    app.server.once('close', () => clearTimeout(timer))
    timer.unref()
  })

  for (const schema of schemas.SHARED_SCHEMAS) app.addSchema(schema)
  app.register(swagger, DOCUMENT)

  const health = createHealth({ store, broker, consumer, isStopping, metrics, now })
  app.register(async plain => {
    const routes = plain.withTypeProvider<TypeBoxTypeProvider>()
    routes.get('/livez', { schema: schemas.getLivez }, async () => ({ status: 'alive' as const }))
    routes.get('/readyz', { schema: schemas.getReadyz }, async (_request, reply) => {
      const problems = await health.problems()
      const found = health.warnings()
      const warnings = found.length === 0 ? {} : { warnings: found }
      if (problems.length === 0) return { status: 'ready' as const, ...warnings }
      return reply.code(503).send({ status: 'unavailable' as const, problems, ...warnings })
    })
    routes.get('/metrics', { schema: schemas.getMetrics }, async (_request, reply) =>
      reply.type(metrics.registry.contentType).send(await health.exposition()),
    )
  })
  if (apiKeys.length === 0) return app

  const loopTurn = createLoopTurns()
  const views = createViews({ store, health, now, listMaxAgeMs, loopTurn })
  app.register(
    async guarded => {
      guarded.addHook('onRequest', requireKey(apiKeys))
      guarded.addHook('onRequest', async ({ raw }) => connections.know(raw.socket))
      guarded.addHook('preSerialization', async (_request, _reply, answer) => {
        await loopTurn()
        return answer
      })
      guarded.addHook('onSend', revalidate)
      guarded.setNotFoundHandler(noRoute)

      const routes = guarded.withTypeProvider<TypeBoxTypeProvider>()
      routes.get('/posts/:uuid/views', { schema: schemas.getPostTotals }, ({ params }) =>
        views.postTotals(params.uuid),
      )
      routes.get('/posts/:uuid/views/daily', { schema: schemas.getPostDays }, ({ params, query }) =>
        views.postDays(params.uuid, query),
      )
      routes.get('/posts/:uuid/referrers', { schema: schemas.getPostReferrers }, ({ params, query }) =>
        views.postReferrers(params.uuid, query),
      )
      routes.get('/posts/views', { schema: schemas.getPostsTotals }, async (request, reply) => {
        const write = (post: schemas.PostEntry) => String(reply.serializeInput(post, POST_ENTRY))
        const answer = await views.postsTotals(request.query, { signal: request.signal, write })
        return reply.type(JSON_TYPE).send(answer)
      })
      routes.get('/posts/top', { schema: schemas.getTopPosts }, ({ query }) => views.topPosts(query))
      routes.get('/views', { schema: schemas.getSiteTotals }, () => views.siteTotals())
      routes.get('/views/daily', { schema: schemas.getSiteDays }, ({ query }) => views.siteDays(query))
      routes.get('/referrers', { schema: schemas.getSiteReferrers }, ({ query }) =>
        views.siteReferrers(query),
      )
      routes.get('/status', { schema: schemas.getStatus }, () => views.status())
      routes.get('/openapi.json', { schema: schemas.getOpenapi }, async () => app.swagger())
    },
    { prefix: '/api/v1' },
  )
  return app
}

const DOCUMENT = {
  openapi: {
    openapi: '3.1.0',
    info: {
      title: 'postviews internal API',
      version: '1.0.0',
      description:
        'How often the posts of a blog were viewed. Read-only, for other services on the internal network. A number may be a few seconds old: every view recorded by `as_of` is in it. Every answer has a weak `ETag` of everything but `as_of`. Send it as `If-None-Match`: 304 means that your copy was still current at `X-As-Of`.',
    },
    components: {
      securitySchemes: { key: { type: 'apiKey' as const, in: 'header' as const, name: KEY_HEADER } },
    },
    security: [{ key: [] }],
  },
  refResolver: {
    buildLocalReference: (json: { [key: string]: unknown }) => String(json['$id']),
  },
}

async function refuseWrites({ method }: FastifyRequest) {
  if (method === 'GET' || method === 'HEAD') return
  throw new Problem(405, 'this API only reads: GET and HEAD', { headers: READ_ONLY })
}

async function requireHost({ raw: { httpVersion, headers } }: FastifyRequest) {
  if (headers.host === undefined && httpVersion === '1.1')
    throw new Problem(400, 'the Host header is missing')
}

async function noRoute() {
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
  return new Problem(503, `${detail}; nothing is lost, ask again later`, {
    headers: { 'Retry-After': String(RETRY_AFTER_SECONDS) },
    cause,
  })
}
