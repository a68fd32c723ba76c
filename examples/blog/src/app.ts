/** The blog's routes. Only the dashboard calls analytics; no other page waits for it. */

import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import { trackView } from '@postviews/client/src/fastify.ts'
import {
  type PostsViews,
  type Stats,
  StatsError,
  type StatsZone,
  type Tracker,
  UTC,
} from '@postviews/client/src/index.ts'
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
import { answerOddRequests, answerUnreadable } from './odd-requests.ts'
import { authorPage } from './pages/author.ts'
import { dashboardPage } from './pages/dashboard.ts'
import { homePage } from './pages/home.ts'
import { messagePage } from './pages/message.ts'
import { postPage } from './pages/post.ts'
import { signInPage } from './pages/sign-in.ts'
import { authorBySlug, personById } from './people.ts'
import type { Post } from './posts.ts'
import { findPosts, type PostsQuery } from './posts-service.ts'
import { createSessions } from './session.ts'
import { STYLE, STYLE_PATH } from './style.ts'

export interface BlogOptions {
  /** Newest first. */
  posts: readonly Post[]
  tracker: Pick<Tracker, 'trackView'>
  stats: Pick<Stats, 'postsViews' | 'status'>
  trustedProxies: string[]
  /** The blog's public URL, such as `https://blog.example`; null: links for use outside the blog are relative. */
  publicUrl: string | null
  log: Logger
}

const DASHBOARD_DAYS = 30
/** The API's limit for one call. */
const POSTS_OF_CALL = 200
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

  app.get('/', (request, reply) => show(reply, homePage({ posts, reader: readerOf(request) })))

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

  app.get<{ Params: { author?: string } }>('/dashboard/:author?', async (request, reply) => {
    const reader = readerOf(request)
    if (reader === null) return reply.redirect('/sign-in?next=/dashboard', 303)
    if (reader.role !== 'author' || (request.params.author ?? reader.slug) !== reader.slug) {
      const title = reader.role === 'author' ? 'Not your dashboard' : 'For authors'
      reply.code(403)
      return show(
        reply,
        messagePage({
          title,
          text: 'A dashboard shows an author’s own posts, to that author alone.',
          reader,
        }),
      )
    }
    const own = postsBy(reader.id)
    const [counts, zone] = await Promise.all([countsOf(own), own.length === 0 ? UTC : zoneOf()])
    return show(reply, dashboardPage({ posts: own, counts, zone, reader }))
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

  /** The numbers of all these posts, for most authors in one call; null when they are unknown, which is not the same as 0. */
  async function countsOf(own: readonly Post[]): Promise<PostsViews | null> {
    if (own.length === 0) return null
    const ids = own.map(({ id }) => id)
    try {
      const [first, ...more] = await Promise.all(
        Array.from({ length: Math.ceil(ids.length / POSTS_OF_CALL) }, (_, call) =>
          stats.postsViews(ids.slice(call * POSTS_OF_CALL, (call + 1) * POSTS_OF_CALL), {
            days: DASHBOARD_DAYS,
          }),
        ),
      )
      return { ...first!, posts: [first!, ...more].flatMap(({ posts }) => posts) }
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
      // `countsOf` logs and shows the same failure.
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
