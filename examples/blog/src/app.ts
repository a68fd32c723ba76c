/** The blog's routes. Only authors' pages wait for analytics. */

import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import { trackView } from '@postviews/client/src/fastify.ts'
import { StatsError, type StatsZone, type Tracker, UTC } from '@postviews/client/src/index.ts'
import Fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify'
import type { Logger } from 'pino'
import type { VNode } from 'preact'
import { renderToString } from 'preact-render-to-string'
import { SECURITY_HEADERS } from './headers.ts'
import { createMostRead } from './most-read.ts'
import { answerOddRequests, answerUnreadable } from './odd-requests.ts'
import { authorPage } from './pages/author.ts'
import { dashboardCsv, dashboardPage, readQuestion, rowsOf } from './pages/dashboard.ts'
import { homePage } from './pages/home.ts'
import { messagePage } from './pages/message.ts'
import { postPage } from './pages/post.ts'
import { signInPage } from './pages/sign-in.ts'
import { statisticsPage } from './pages/statistics.ts'
import { authorBySlug, type Person, personById } from './people.ts'
import type { Post } from './posts.ts'
import { findPosts, type PostsQuery } from './posts-service.ts'
import { createSessions } from './session.ts'
import { type AskedStats, countsOf, statisticsOf } from './statistics.ts'
import { STYLE, STYLE_PATH } from './style.ts'

export interface BlogOptions {
  /** Newest first. */
  posts: readonly Post[]
  tracker: Pick<Tracker, 'trackView'>
  stats: AskedStats
  trustedProxies: string[]
  /** The blog's public URL, such as `https://blog.example`; null: links for use outside the blog are relative. */
  publicUrl: string | null
  log: Logger
}

const MAX_BODY_BYTES = 1_024
const MAX_HEADER_BYTES = 16_384
/** For the headers, and for the whole request; Node swaps the two if the first is longer. */
const HEADERS_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 10_000
/** For connections that neither send nor read. */
const SILENCE_TIMEOUT_MS = 20_000
/** Between two requests. */
const IDLE_TIMEOUT_MS = 5_000
const CLOSE_TIMEOUT_MS = 3_000
/** A parameter that occurs twice is parsed as a list, and none of these may be one. */
const ONE_OF_EACH = {
  type: 'object',
  properties: {
    ids: { type: 'string' },
    search: { type: 'string' },
    published_from: { type: 'string' },
    published_to: { type: 'string' },
    limit: { type: 'string' },
  },
}

/** An array, from a name that is given twice, is not understood. */
const DASHBOARD_QUERY = {
  type: 'object',
  properties: { days: { type: 'string' }, sort: { type: 'string' } },
}

/** Without it Excel reads a CSV in the code page of its machine. */
const UTF8_MARK = '\uFEFF'

export async function buildBlog(options: BlogOptions): Promise<FastifyInstance> {
  const { posts, tracker, stats, log } = options
  const { readerOf, signIn, signOut } = createSessions()
  const unreadable = document(message('That did not work', 'This request cannot be answered.'))
  const app = Fastify({
    trustProxy: options.trustedProxies.length > 0 ? options.trustedProxies : false,
    bodyLimit: MAX_BODY_BYTES,
    routerOptions: { maxParamLength: MAX_HEADER_BYTES },
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: 1_000,
      // Such a request is refused below: Node itself would answer with an empty body.
      requireHostHeader: false,
    },
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: SILENCE_TIMEOUT_MS,
    keepAliveTimeout: IDLE_TIMEOUT_MS,
    frameworkErrors: answerError,
    clientErrorHandler: answerUnreadable(unreadable),
  })
  answerOddRequests(app.server, unreadable)
  await app.register(cookie)
  await app.register(formbody)

  app.get('/livez', async () => ({ status: 'alive' }))

  const mostRead = createMostRead(stats, posts, log)
  app.get('/', (request, reply) =>
    show(reply, homePage({ posts, mostRead: mostRead(), reader: readerOf(request) })),
  )

  const countView = trackView(tracker, {
    post: (request: FastifyRequest) => postOf(request),
    user_id: request => readerOf(request)?.id,
  })
  app.get('/posts/:slug', { onRequest: countView }, (request, reply) => {
    const post = postOf(request)
    if (post === undefined) return reply.callNotFound()
    return show(reply, postPage({ post, posts, reader: readerOf(request) }))
  })

  app.get<{ Params: { slug: string } }>('/authors/:slug', (request, reply) => {
    const author = authorBySlug(request.params.slug)
    if (author === undefined) return reply.callNotFound()
    return show(reply, authorPage({ author, posts: postsBy(author.id), reader: readerOf(request) }))
  })

  /** The author who asks for an own page; undefined: the answer is sent already. */
  function authorOf(request: FastifyRequest, reply: FastifyReply, isOwn = (_author: Person) => true) {
    const reader = readerOf(request)
    if (reader === null) {
      reply.redirect(`/sign-in?next=${encodeURIComponent(request.url)}`, 303)
      return undefined
    }
    if (reader.role === 'author' && isOwn(reader)) return reader
    const title = reader.role === 'author' ? 'Not your dashboard' : 'For authors'
    const text = 'A dashboard shows an author’s own posts, to that author alone.'
    show(reply.code(403), messagePage({ title, text, reader }))
    return undefined
  }

  const DASHBOARD = { schema: { querystring: DASHBOARD_QUERY } }
  type DashboardRequest = { Params: { author?: string }; Querystring: { days?: string; sort?: string } }

  app.get<DashboardRequest>('/dashboard/:author?', DASHBOARD, async (request, reply) => {
    const { author } = request.params
    const reader = authorOf(request, reply, ({ slug }) => author === undefined || author === slug)
    if (reader === undefined) return reply
    const own = postsBy(reader.id)
    const question = readQuestion(request.query)
    const [counts, zone] = await Promise.all([
      own.length === 0 ? null : orUnknown(countsOf(stats, own, question.days)),
      own.length === 0 ? UTC : zoneOf(),
    ])
    return show(reply, dashboardPage({ posts: own, counts, question, zone, reader }))
  })

  app.get<DashboardRequest>('/dashboard.csv', DASHBOARD, async (request, reply) => {
    const reader = authorOf(request, reply)
    if (reader === undefined) return reply
    const own = postsBy(reader.id)
    const { days, sort } = readQuestion(request.query)
    const counts = own.length === 0 ? null : await orUnknown(countsOf(stats, own, days))
    if (counts === null && own.length > 0) {
      const text = 'View counts are unavailable right now, so there is nothing to download.'
      return show(reply.code(503), messagePage({ title: 'Unavailable', text, reader }))
    }
    return reply
      .type('text/csv; charset=utf-8; header=present')
      .header('Content-Disposition', `attachment; filename="views-of-${days}-days.csv"`)
      .header('Cache-Control', 'private, no-cache')
      .send(UTF8_MARK + dashboardCsv(rowsOf(own, counts, sort)))
  })

  app.get('/dashboard/posts/:slug', async (request, reply) => {
    const post = postOf(request)
    const reader = authorOf(request, reply, ({ id }) => post === undefined || post.author.id === id)
    if (reader === undefined) return reply
    if (post === undefined) return reply.callNotFound()
    const zone = await zoneOf()
    const statistics = await orUnknown(statisticsOf(stats, post, postsBy(reader.id), zone))
    return show(reply, statisticsPage({ post, statistics, zone, reader }))
  })

  app.get<{ Querystring: { next?: string } }>('/sign-in', (request, reply) =>
    show(reply, signInPage({ next: ownPath(request.query.next), reader: readerOf(request) })),
  )

  app.post<{ Body: { person?: string; next?: string } }>('/sign-in', (request, reply) => {
    const person = personById(Number(request.body?.person))
    if (person === undefined) {
      reply.code(400)
      return show(
        reply,
        messagePage({ title: 'Nobody by that name', text: 'Pick one from the list.', reader: null }),
      )
    }
    signIn(request, reply, person)
    return reply.redirect(ownPath(request.body.next), 303)
  })

  app.post('/sign-out', (request, reply) => {
    signOut(request, reply)
    return reply.redirect('/', 303)
  })

  // The posts service from which the admin panel gets titles, authors and links.
  app.get<{ Querystring: PostsQuery }>('/posts.json', { schema: { querystring: ONE_OF_EACH } }, request => ({
    posts: findPosts(posts, request.query).map(({ id, title, author, slug, publishedAt }) => ({
      id,
      title,
      author: author.name,
      url: `${options.publicUrl ?? ''}/posts/${slug}`,
      published_at: publishedAt.toISOString(),
    })),
  }))

  app.get(STYLE_PATH, (_request, reply) =>
    reply
      .type('text/css; charset=utf-8')
      .header('Cache-Control', 'public, max-age=31536000, immutable')
      .send(STYLE),
  )

  app.addHook('onRequest', async (request, reply) => {
    reply.headers(SECURITY_HEADERS)
    const isSaid = request.raw.headers.host !== undefined || request.raw.httpVersion !== '1.1'
    if (!isSaid) return show(reply.code(400), message('That did not work', 'The request has no Host header.'))
    // A form on another site must not sign anybody in or out here.
    if (request.method !== 'POST' || isOwnForm(request, options.publicUrl)) return
    return show(reply.code(403), message('Not from here', 'This form was sent by another site.'))
  })

  // After closing, Node no longer enforces timeouts for slow clients; they must not keep the process running.
  app.addHook('preClose', async () => {
    const timer = setTimeout(() => app.server.closeAllConnections(), CLOSE_TIMEOUT_MS)
    app.server.once('close', () => clearTimeout(timer))
    timer.unref()
  })

  app.setNotFoundHandler((request, reply) => {
    reply.code(404)
    const text = 'There is no page at this address. It may have been eaten by crows over several weeks.'
    return show(reply, messagePage({ title: 'Nothing here', text, reader: readerOf(request) }))
  })

  function answerError(error: FastifyError, _request: FastifyRequest, reply: FastifyReply) {
    const status = error.statusCode ?? 500
    // The request stays out of the log, because it may be personal.
    if (status >= 500) log.error({ error: error.message, stack: error.stack }, 'request.failed')
    const text =
      status >= 500 ? 'Something went wrong on our side. It was logged.' : 'This request cannot be answered.'
    // No hook has run for requests that the framework refuses.
    return show(reply.code(status).headers(SECURITY_HEADERS), message('That did not work', text))
  }
  app.setErrorHandler(answerError)

  function postOf({ params }: FastifyRequest): Post | undefined {
    return posts.find(({ slug }) => slug === (params as { slug: string }).slug)
  }

  function postsBy(authorId: number): Post[] {
    return posts.filter(({ author }) => author.id === authorId)
  }

  /** Null when the numbers are unknown, which is not the same as 0. */
  async function orUnknown<Numbers>(asked: Promise<Numbers>): Promise<Numbers | null> {
    try {
      return await asked
    } catch (error) {
      if (!(error instanceof StatsError)) throw error
      log.warn({ error: error.message }, 'stats.unavailable')
      return null
    }
  }

  /** The zone whose days are counted, with its clock changes; UTC while it is unknown. */
  async function zoneOf(): Promise<StatsZone> {
    try {
      return await stats.status()
    } catch (error) {
      // The other question logs and shows the same failure.
      if (!(error instanceof StatsError)) throw error
      return UTC
    }
  }

  return app
}

function show(reply: FastifyReply, page: VNode): FastifyReply {
  return reply
    .type('text/html; charset=utf-8')
    .header('Cache-Control', 'private, no-cache')
    .send(document(page))
}

function document(page: VNode): string {
  return `<!doctype html>${renderToString(page)}`
}

/** A page without a signed-in reader. */
function message(title: string, text: string): VNode {
  return messagePage({ title, text, reader: null })
}

/** Browsers say which site a form was sent from. Newer ones use a header of their own if the blog is served over TLS. */
function isOwnForm({ headers, host }: FastifyRequest, publicUrl: string | null): boolean {
  const site = headers['sec-fetch-site']
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  const { origin } = headers
  if (origin === undefined) return true
  return URL.parse(origin)?.host === host || (publicUrl !== null && origin === new URL(publicUrl).origin)
}

/** The path to continue at, only within this site: `//elsewhere.example` is not. */
function ownPath(next: string | undefined): string {
  const here = 'http://here.invalid'
  const url = URL.parse(next ?? '/', here)
  return url?.origin === here && !url.pathname.startsWith('//') ? url.pathname + url.search : '/'
}
