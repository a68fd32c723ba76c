/** The routes of the blog. Only the dashboard asks analytics; every other page is as fast without it. */

import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import helmet from '@fastify/helmet'
import {
  type PostsViews,
  proxyList,
  type Stats,
  StatsError,
  type Tracker,
  viewFromRequest,
} from '@postviews/client'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import type { Logger } from 'pino'
import type { VNode } from 'preact'
import { renderToString } from 'preact-render-to-string'
import { authorPage } from './pages/author.ts'
import { dashboardPage } from './pages/dashboard.ts'
import { homePage } from './pages/home.ts'
import { messagePage } from './pages/message.ts'
import { postPage } from './pages/post.ts'
import { signInPage } from './pages/sign-in.ts'
import { authorBySlug, personById } from './people.ts'
import type { Post } from './posts.ts'
import { findPosts, type PostsQuery } from './posts-service.ts'
import { readerOf, signIn, signOut } from './session.ts'
import { STYLE, STYLE_PATH } from './style.ts'

export interface BlogOptions {
  /** Newest first. */
  posts: readonly Post[]
  tracker: Pick<Tracker, 'trackView'>
  stats: Pick<Stats, 'postsViews'>
  trustedProxies: string[]
  sessionSecret: string
  log: Logger
}

const DASHBOARD_DAYS = 30
const CLOSE_TIMEOUT_MS = 3_000
/** What stands twice in an address is read as a list, which none of these is. */
const ONE_OF_EACH = {
  type: 'object',
  properties: { ids: { type: 'string' }, search: { type: 'string' }, limit: { type: 'string' } },
}

export async function buildBlog(options: BlogOptions): Promise<FastifyInstance> {
  const { posts, tracker, stats, log } = options
  const trustedProxies = proxyList(options.trustedProxies)
  const app = Fastify({ trustProxy: options.trustedProxies.length > 0 ? options.trustedProxies : false })
  await app.register(cookie, { secret: options.sessionSecret })
  await app.register(formbody, { bodyLimit: 1_024 })
  await app.register(helmet, {
    strictTransportSecurity: false,
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        styleSrc: ["'self'"],
        imgSrc: ['data:'],
        formAction: ["'self'"],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
      },
    },
  })

  app.get('/livez', async () => ({ status: 'alive' }))

  app.get('/', (request, reply) => show(reply, homePage({ posts, reader: readerOf(request) })))

  app.get<{ Params: { slug: string } }>('/posts/:slug', (request, reply) => {
    const post = posts.find(({ slug }) => slug === request.params.slug)
    if (post === undefined) return reply.callNotFound()
    const reader = readerOf(request)
    show(reply, postPage({ post, posts, reader }))
    const user_id = reader?.id ?? null
    const view = viewFromRequest(request.raw, { post_uuid: post.id, user_id, trustedProxies })
    // Null: a browser that fetches in advance, say, shows the post to nobody.
    if (view !== null) tracker.trackView(view)
    return reply
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
    return show(reply, dashboardPage({ posts: own, counts: await countsOf(own), reader }))
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
        messagePage({ title: 'Nobody by that name', text: 'Pick one of the list.', reader: null }),
      )
    }
    signIn(reply, person)
    return reply.redirect(ownPath(request.body.next), 303)
  })

  app.post('/sign-out', (_request, reply) => {
    signOut(reply)
    return reply.redirect('/', 303)
  })

  // The posts service that the admin panel takes titles, authors and links from.
  app.get<{ Querystring: PostsQuery }>('/posts.json', { schema: { querystring: ONE_OF_EACH } }, request => ({
    posts: findPosts(posts, request.query).map(({ id, title, author, slug }) => ({
      id,
      title,
      author: author.name,
      url: `${request.protocol}://${request.host}/posts/${slug}`,
    })),
  }))

  app.get(STYLE_PATH, (_request, reply) =>
    reply
      .type('text/css; charset=utf-8')
      .header('Cache-Control', 'public, max-age=31536000, immutable')
      .send(STYLE),
  )

  // A form on somebody else's page must not sign anybody in or out here.
  app.addHook('onRequest', async (request, reply) => {
    const from = request.headers['sec-fetch-site'] ?? 'none'
    if (request.method !== 'POST' || from === 'same-origin' || from === 'none') return
    reply.code(403)
    return show(
      reply,
      messagePage({ title: 'Not from here', text: 'This form was sent by another site.', reader: null }),
    )
  })

  // Once it closes, Node no longer times slow clients out; they must not hold the process.
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

  app.setErrorHandler<Error & { statusCode?: number }>((error, _request, reply) => {
    const status = error.statusCode ?? 500
    // What the request asked for stays out of the log: it may be personal.
    if (status >= 500) log.error({ error: error.message, stack: error.stack }, 'request.failed')
    reply.code(status)
    const text = status >= 500 ? 'It is our fault, and it is in the log.' : 'This request cannot be answered.'
    return show(reply, messagePage({ title: 'That did not work', text, reader: null }))
  })

  function postsBy(authorId: number): Post[] {
    return posts.filter(({ author }) => author.id === authorId)
  }

  /** The numbers of all these posts in one call; null when nobody knows them now, which is not the same as 0. */
  async function countsOf(own: readonly Post[]): Promise<PostsViews | null> {
    if (own.length === 0) return null
    try {
      return await stats.postsViews(
        own.map(({ id }) => id),
        { days: DASHBOARD_DAYS },
      )
    } catch (error) {
      if (!(error instanceof StatsError)) throw error
      log.warn({ error: error.message }, 'stats.unavailable')
      return null
    }
  }

  return app
}

function show(reply: FastifyReply, page: VNode): FastifyReply {
  return reply
    .type('text/html; charset=utf-8')
    .header('Cache-Control', 'private, no-cache')
    .send(`<!doctype html>${renderToString(page)}`)
}

/** The path to go on to, as long as it is one of ours: `//elsewhere.example` is not. */
function ownPath(next: string | undefined): string {
  const here = 'http://here.invalid'
  const url = URL.parse(next ?? '/', here)
  return url?.origin === here && !url.pathname.startsWith('//') ? url.pathname + url.search : '/'
}
