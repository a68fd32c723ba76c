/** The panel: the table of routes, what guards them, and the one place where an error becomes an answer. */

import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { constants } from 'node:zlib'
import compress from '@fastify/compress'
import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import { boundConnections } from '@postviews/client/src/connections.ts'
import { etagOf, isFresh } from '@postviews/client/src/etag.ts'
import type { DimensionName } from '@postviews/client/src/figures.ts'
import { canonicalPost, type Stats, StatsBadRequest } from '@postviews/client/src/index.ts'
import { createLoopTurns } from '@postviews/client/src/loop-turns.ts'
import { type StatsZone, UTC } from '@postviews/client/src/zone-time.ts'
import {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
} from 'fastify'
import { Answers, Availability, type Loaded } from './answers.ts'
import { loadAssets } from './assets.ts'
import { clocksFrom } from './clocks.ts'
import { chosenCsv, daysCsv, hoursCsv } from './csv.ts'
import { type Download, fileName, ofWho, postsDownload, StillToCome, valuesDownload } from './downloads.ts'
import { securityHeaders } from './headers.ts'
import { hostCheck } from './hosts.ts'
import { createHtml } from './html.ts'
import { describeError, type Log } from './log.ts'
import { readMachines } from './machines.ts'
import { createRefusals } from './odd-requests.ts'
import { readOverview } from './overview.ts'
import type {
  Answer,
  Known,
  ListAnswer,
  Machines,
  MachinesAnswer,
  Overview,
  OverviewAnswer,
  Panel,
  Post,
  PostAnswer,
  WholeList,
} from './pages/model.ts'
import { isListed, type Question, readQuestion, toAddress } from './pages/question.ts'
import { readPost } from './post.ts'
import type { Posts } from './posts.ts'
import { belowRoot } from './root.ts'
import { signIn } from './sign-in.ts'
import { MessagePage } from './sign-in-page.ts'
import { readWholeList } from './whole-list.ts'

export interface PanelOptions {
  stats: Stats
  posts: Posts
  adminPassword: string
  sessionHours: number
  trustedProxies: string[]
  /** The host names it answers to, as `hostName` writes them; none: to any. */
  hosts: string[]
  /** The path of the panel as browsers see it, as `parseRoot` gives it. */
  root: string
  log: Log
}

const MAX_HEADER_BYTES = 16_384
const MAX_BODY_BYTES = 8_192
/** For the headers, and for a whole request; Node swaps the two if the first is longer. */
const HEADERS_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 10_000
/** For clients that neither send nor read: longer than a page may wait for Analytics. */
const SILENCE_TIMEOUT_MS = 20_000
/** Between two requests. */
const IDLE_TIMEOUT_MS = 5_000
/** Below the 1,024 files that some systems let a process open. */
const MAX_CONNECTIONS = 500
/** While the panel closes, Node no longer times out slow clients. */
const CLOSE_TIMEOUT_MS = 3_000
/** For probes, which ask by an address. */
const HEALTH_ROUTE = '/livez'
const ASSETS = '/assets/'
/** How often Analytics is asked even if nobody looks, so that the panel can say since when it is away. */
const WATCH_MS = 5_000
const YEAR_SECONDS = 31_536_000
const HTML = 'text/html; charset=utf-8'
/** Without it Excel reads a CSV in the code page of its machine: `Inês` would be `InÃªs`. */
const UTF8_MARK = '\uFEFF'

/** Compression buffers the beginning: if the stream broke meanwhile, the answer would be an error page. */
const STREAMED = { compress: false } as const

type Query = Record<string, string | string[] | undefined>

/** An error that the client may see: `status`, and a title and text for its page. */
class Refusal extends Error {
  override name = 'Refusal'
  readonly status: number
  readonly title: string

  constructor(status: number, title: string, text: string) {
    super(text)
    this.status = status
    this.title = title
  }
}

/** Builds the panel; nothing listens yet. */
export function buildPanel(options: PanelOptions): FastifyInstance {
  const { stats, posts, adminPassword, sessionHours, trustedProxies, hosts, root, log } = options
  const assets = loadAssets(root)
  const html = createHtml(assets)
  const availability = new Availability(log)
  const overviews = new Answers<Overview>(availability)
  const postPages = new Answers<Post>(availability)
  const machinePages = new Answers<Machines>(availability)
  const listPages = new Answers<WholeList>(availability)
  const headers = securityHeaders(html.scriptHash)
  const messagePage = (title: string, text: string) =>
    html.plainPage(title, MessagePage({ root, title, text }))
  const refusals = createRefusals(messagePage, headers)
  const isOwnHost = hostCheck(hosts)
  const loopTurn = createLoopTurns()
  /**
   * Connections on which a file is being sent in HTTP/1.0, which many proxies use towards their backends. There the end
   * of the connection is the end of the file, so a file that breaks off looks whole unless the connection is reset.
   */
  const unmarked = new Set<Socket>()
  /** The zone that Analytics reported last. */
  let zone: StatsZone = UTC

  const app = fastify({
    // Fastify logs every request with its address; what is worth a line is logged below.
    logger: false,
    trustProxy: trustedProxies.length === 0 ? false : trustedProxies,
    rewriteUrl: ({ url = '/' }) => belowRoot(url, root),
    bodyLimit: MAX_BODY_BYTES,
    routerOptions: { maxParamLength: MAX_HEADER_BYTES },
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: 1_000,
      // A request without a Host header is refused below: Node would answer it with an empty body.
      requireHostHeader: false,
    },
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: SILENCE_TIMEOUT_MS,
    keepAliveTimeout: IDLE_TIMEOUT_MS,
    return503OnClosing: false,
    frameworkErrors: answerError,
    clientErrorHandler: refusals.unreadable,
  })
  const connections = boundConnections(app.server, MAX_CONNECTIONS)
  refusals.listenTo(app.server)

  app.register(cookie)
  app.register(formbody)
  app.register(compress, { brotliOptions: { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } } })
  app.addHook('onRequest', async ({ raw, url, host }, reply) => {
    reply.headers(headers)
    if (raw.headers.host === undefined && raw.httpVersion === '1.1') {
      throw new Refusal(400, 'Not understood', 'The request has no Host header.')
    }
    // The assets are public: the page of the refusal needs them.
    const isForAnybody = url === HEALTH_ROUTE || url.startsWith(ASSETS)
    if (!isForAnybody && !isOwnHost(host)) {
      throw new Refusal(
        421,
        'Not here',
        'The panel does not answer to this host name. PANEL_HOSTS lists the names it answers to.',
      )
    }
  })
  app.addHook('onSend', async (_request, reply) => {
    if (!reply.hasHeader('Cache-Control')) reply.header('Cache-Control', 'no-store')
  })

  function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply) {
    const { status, title, message } = toRefusal(error)
    if (status >= 500) {
      const route = request.routeOptions.url
      log.error({ method: request.method, route, error: describeError(error) }, 'request.failed')
    }
    return refuse(reply, status, title, message)
  }
  app.setErrorHandler(answerError)
  app.setNotFoundHandler((_request, reply) =>
    refuse(reply, 404, 'Not found', 'There is no page at this address.'),
  )

  function refuse(reply: FastifyReply, status: number, title: string, text: string) {
    // If the framework refuses a request, no hook has set the headers.
    return reply
      .code(status)
      .headers({ ...headers, 'Cache-Control': 'no-store' })
      .type(HTML)
      .send(messagePage(title, text))
  }

  /** The last known answer, or nothing, if Analytics is away. */
  async function ask<Data extends { zone: StatsZone }>(
    answers: Answers<Data>,
    key: string,
    load: () => Promise<Loaded<Data>>,
  ): Promise<Panel & Known<Data>> {
    const known = await answers.ask(key, load)
    await loopTurn()
    zone = known.data?.zone ?? zone
    return { root, zone, ...known }
  }

  async function overview({ query }: FastifyRequest): Promise<OverviewAnswer> {
    const question = readQuestion(query as Query)
    const read = () => readOverview(stats, posts, question)
    return { page: 'overview', question, ...(await ask(overviews, toAddress('/', question), read)) }
  }

  async function post(request: FastifyRequest): Promise<PostAnswer> {
    const id = postOf(request)
    const question: Question = { ...readQuestion(request.query as Query), search: '', page: 1 }
    const read = () => readPost(stats, posts, id, question)
    return { page: 'post', id, question, ...(await ask(postPages, toAddress(id, question), read)) }
  }

  async function machines({ query }: FastifyRequest): Promise<MachinesAnswer> {
    const question: Question = { ...readQuestion(query as Query), who: 'bots', search: '' }
    const read = () => readMachines(stats, posts, question)
    return { page: 'machines', question, ...(await ask(machinePages, toAddress('/', question), read)) }
  }

  async function wholeList(request: FastifyRequest): Promise<ListAnswer> {
    const dimension = dimensionOf(request)
    const id = hasPost(request) ? postOf(request) : null
    const question: Question = { ...readQuestion(request.query as Query), search: '', chosen: null }
    const read = () => readWholeList(stats, posts, { id, dimension }, question)
    const key = toAddress(`${id ?? ''}/${dimension}`, question)
    return { page: 'list', id, dimension, question, ...(await ask(listPages, key, read)) }
  }

  /** Sends nothing before the first page is there; if a later page fails, the connection ends. */
  async function sendDownload(request: FastifyRequest, reply: FastifyReply, read: () => Promise<Download>) {
    const download = await read().catch((error: unknown) => {
      availability.failed(error)
      throw unavailableFile()
    })
    availability.answered()
    asCsv(reply, download.name)
    if (request.method === 'HEAD') return reply.send()
    const { socket, httpVersion } = request.raw
    if (httpVersion === '1.0') {
      unmarked.add(socket)
      reply.raw.once('close', () => unmarked.delete(socket))
    }
    return reply.send(Readable.from(told(download, socket), { objectMode: false }))
  }

  async function* told({ parts }: Download, socket: Socket): AsyncGenerator<string> {
    yield UTF8_MARK
    try {
      yield* parts
    } catch (error) {
      log.warn({ error: describeError(error) }, 'request.cut')
      if (unmarked.has(socket)) socket.resetAndDestroy()
      throw error
    }
  }

  app.get(HEALTH_ROUTE, async () => ({ status: 'alive' }))

  app.get(`${ASSETS}:version/*`, { compress: false }, (request, reply) => {
    const { version, '*': path } = request.params as { version: string; '*': string }
    const file = version === assets.version ? assets.files.get(path) : undefined
    if (file === undefined) return refuse(reply, 404, 'Not found', 'There is no such file.')
    const encoding = encodingFor(request.headers['accept-encoding'])
    reply
      .type(file.type)
      .header('Cache-Control', `public, max-age=${YEAR_SECONDS}, immutable`)
      .header('Vary', 'Accept-Encoding')
    if (encoding !== null) reply.header('Content-Encoding', encoding)
    return reply.send(encoding === 'br' ? file.brotli : encoding === 'gzip' ? file.gzip : file.plain)
  })

  app.register(async scope => {
    const guard = signIn(scope, { password: adminPassword, sessionHours, trustedProxies, root, html, log })

    scope.register(async guarded => {
      guarded.addHook('onRequest', guard)
      guarded.addHook('onRequest', async ({ raw }) => connections.know(raw.socket))
      const page = (path: string, read: (request: FastifyRequest) => Promise<Answer>) => {
        guarded.get(path, async (request, reply) =>
          reply.type(HTML).send(html.answerPage(await read(request))),
        )
        const below = path === '/' ? '' : path
        guarded.get(`${below}/data`, async (request, reply) =>
          sendAnswer(request, reply, await read(request)),
        )
      }
      page('/', overview)
      page('/posts/:id', post)
      page('/machines', machines)
      page('/lists/:dimension', wholeList)
      page('/posts/:id/lists/:dimension', wholeList)

      for (const [path, read] of [
        ['', overview],
        ['/posts/:id', post],
        ['/machines', machines],
      ] as const) {
        guarded.get(`${path}/days.csv`, async (request, reply) => {
          const { name, text } = daysFile(await read(request))
          return asCsv(reply, name).send(UTF8_MARK + text)
        })
      }
      for (const path of ['/lists/:dimension', '/posts/:id/lists/:dimension']) {
        guarded.get(`${path}/values.csv`, STREAMED, async (request, reply) => {
          const dimension = dimensionOf(request)
          const post = hasPost(request) ? postOf(request) : null
          const question = readQuestion(request.query as Query)
          return sendDownload(request, reply, () => valuesDownload(stats, { post, dimension }, question))
        })
      }
      guarded.get('/posts.csv', STREAMED, async (request, reply) => {
        const question = readQuestion(request.query as Query)
        return sendDownload(request, reply, () => postsDownload(stats, posts, question))
      })
    })
  })

  // While the panel closes, Node no longer times out slow clients; they must not hold the process.
  app.addHook('preClose', async () => {
    const timer = setTimeout(() => {
      for (const socket of unmarked) socket.resetAndDestroy()
      app.server.closeAllConnections()
    }, CLOSE_TIMEOUT_MS)
    app.server.once('close', () => clearTimeout(timer))
    timer.unref()
  })

  async function look(): Promise<void> {
    const { timezone, offsets, as_of: asOf } = await stats.status()
    zone = { timezone, offsets: clocksFrom(offsets, asOf) }
  }
  const watch = setInterval(() => availability.check(look), WATCH_MS)
  watch.unref()
  app.addHook('onClose', async () => clearInterval(watch))
  return app
}

/** The ETag covers all but the time of reading: if nothing else changed, a browser that asks again gets only that. */
function sendAnswer(request: FastifyRequest, reply: FastifyReply, answer: Answer) {
  const { asOf, ...rest } = answer
  const etag = etagOf(JSON.stringify(rest))
  reply.header('ETag', etag).header('X-As-Of', asOf ?? '')
  if (isFresh(request.headers['if-none-match'], etag)) return reply.code(304).send()
  return reply.send(answer)
}

/** What the chart shows, as a file. Old or unknown numbers are not made one: there, nothing would mark them as old. */
function daysFile(answer: OverviewAnswer | PostAnswer | MachinesAnswer): { name: string; text: string } {
  const { data, unavailable, question } = answer
  if (data === null || unavailable !== null) throw unavailableFile()
  const { trend, zone } = data
  const { days, hours, chosen, timezone } = trend
  if (days.length === 0) throw new StillToCome()
  const range = { from: days[0]!.date, to: days.at(-1)!.date }
  const post = answer.page === 'post' ? answer.id : null
  const nameOf = (list: string) => fileName(post, list + ofWho(question), range, timezone)
  if (hours !== null) return { name: nameOf('hours'), text: hoursCsv(trend, zone) }
  if (chosen !== null) return { name: nameOf(`days-of-one-${chosen.dimension}`), text: chosenCsv(chosen) }
  return { name: nameOf('days'), text: daysCsv(trend) }
}

function unavailableFile(): Refusal {
  return new Refusal(
    503,
    'Unavailable',
    'Analytics is unavailable, so there are no current numbers to download.',
  )
}

function asCsv(reply: FastifyReply, name: string): FastifyReply {
  return reply
    .type('text/csv; charset=utf-8; header=present')
    .header('Content-Disposition', `attachment; filename="${name}"`)
}

function postOf({ params }: FastifyRequest): string {
  const id = canonicalPost((params as { id: string }).id)
  if (id === undefined) throw new Refusal(404, 'No such post', 'This is not a valid post id.')
  return id
}

function hasPost({ params }: FastifyRequest): boolean {
  return (params as { id?: string }).id !== undefined
}

function dimensionOf({ params }: FastifyRequest): DimensionName {
  const { dimension } = params as { dimension: string }
  if (!isListed(dimension)) throw new Refusal(404, 'No such list', 'There is no list at this address.')
  return dimension
}

function encodingFor(accepted = ''): 'br' | 'gzip' | null {
  if (/\bbr\b/.test(accepted)) return 'br'
  return /\bgzip\b/.test(accepted) ? 'gzip' : null
}

/** Says only what the client may know. */
function toRefusal(error: FastifyError | Error): Refusal {
  if (error instanceof Refusal) return error
  if (error instanceof StatsBadRequest) {
    return new Refusal(400, 'Cannot be shown', 'Analytics cannot answer this request.')
  }
  if (error instanceof StillToCome) {
    return new Refusal(400, 'Nothing to download', 'These days are still to come.')
  }
  const { statusCode = 500 } = error as Partial<FastifyError>
  if (statusCode >= 400 && statusCode < 500) {
    return new Refusal(statusCode, 'Not understood', 'The request cannot be read.')
  }
  return new Refusal(500, 'Something went wrong', 'An unexpected error occurred. It was logged.')
}
