/** The internal API: the table of routes, and what they need. */

import swagger from '@fastify/swagger'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { Connections } from '@postviews/client/src/connections.ts'
import { createLoopTurns } from '@postviews/client/src/loop-turns.ts'
import type { FastifyInstance } from 'fastify'
import type { Health } from './health.ts'
import { KEY_HEADER, requireKey } from './key.ts'
import { revalidate } from './revalidate.ts'
import * as schemas from './schemas.ts'
import { buildServer, noRoute, type ServerOptions } from './server.ts'
import { createViews } from './views.ts'

export interface ApiOptions extends ServerOptions {
  /** A request needs one of them. Without any, only the health routes exist. */
  apiKeys: readonly string[]
  /** How old a list of posts may be, if reading it takes a while. */
  listMaxAgeMs?: number
}

/** Where views are counted with their batch, `as_of` is promised to be at most 5 s old when the answer arrives. */
const LIST_MAX_AGE_MS = 4_000
const JSON_TYPE = 'application/json; charset=utf-8'
const POST_ENTRY: Record<string, unknown> = { ...schemas.PostEntry }
/** Builds the API; nothing listens yet. */
export function buildApi(options: ApiOptions): FastifyInstance {
  return buildServer(options, {
    schemas: { livez: schemas.getLivez, readyz: schemas.getReadyz, metrics: schemas.getMetrics },
    prepare(app) {
      for (const schema of schemas.SHARED_SCHEMAS) app.addSchema(schema)
      app.register(swagger, DOCUMENT)
    },
    addRoutes: (app, parts) => addViews(app, options, parts),
  })
}

function addViews(
  app: FastifyInstance,
  { store, apiKeys, now = Date.now, listMaxAgeMs = LIST_MAX_AGE_MS }: ApiOptions,
  { health, connections }: { health: Health; connections: Connections },
): void {
  if (apiKeys.length === 0) return
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
      routes.get('/posts/:uuid/views', { schema: schemas.getPostTotals }, ({ params, query }) =>
        views.postTotals(params.uuid, query),
      )
      routes.get('/posts/:uuid/views/daily', { schema: schemas.getPostDays }, ({ params, query }) =>
        views.postDays(params.uuid, query),
      )
      routes.get('/posts/:uuid/referrers', { schema: schemas.getPostReferrers }, ({ params, query }) =>
        views.postReferrers(params.uuid, query),
      )
      routes.get(
        '/posts/:uuid/breakdowns/:dimension',
        { schema: schemas.getPostBreakdown },
        ({ params, query }) => views.postBreakdown(params, query),
      )
      routes.get('/breakdowns/:dimension', { schema: schemas.getSiteBreakdown }, ({ params, query }) =>
        views.siteBreakdown(params.dimension, query),
      )
      routes.get(
        '/posts/:uuid/breakdowns/:dimension/daily',
        { schema: schemas.getPostValueDays },
        ({ params, query }) => views.postValueDays(params, query),
      )
      routes.get('/breakdowns/:dimension/daily', { schema: schemas.getSiteValueDays }, ({ params, query }) =>
        views.siteValueDays(params.dimension, query),
      )
      routes.get('/posts/:uuid/views/hourly', { schema: schemas.getPostHours }, ({ params, query }) =>
        views.postHours(params.uuid, query),
      )
      routes.get('/views/hourly', { schema: schemas.getSiteHours }, ({ query }) => views.siteHours(query))
      routes.get('/posts/views', { schema: schemas.getPostsTotals }, async (request, reply) => {
        const write = (post: schemas.PostEntry) => String(reply.serializeInput(post, POST_ENTRY))
        const answer = await views.postsTotals(request.query, { signal: request.signal, write })
        return reply.type(JSON_TYPE).send(answer)
      })
      routes.get('/posts/top', { schema: schemas.getTopPosts }, ({ query }) => views.topPosts(query))
      routes.get('/posts/trending', { schema: schemas.getTrendingPosts }, ({ query }) =>
        views.trendingPosts(query),
      )
      routes.get('/views', { schema: schemas.getSiteTotals }, ({ query }) => views.siteTotals(query))
      routes.get('/views/daily', { schema: schemas.getSiteDays }, ({ query }) => views.siteDays(query))
      routes.get('/referrers', { schema: schemas.getSiteReferrers }, ({ query }) =>
        views.siteReferrers(query),
      )
      routes.get('/status', { schema: schemas.getStatus }, () => views.status())
      routes.get('/openapi.json', { schema: schemas.getOpenapi }, async () => app.swagger())
    },
    { prefix: '/api/v1' },
  )
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
