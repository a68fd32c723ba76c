/** What tracking costs a PHP worker: a page of a real Laravel under php-fpm, without the middleware, with it, and through the relay. */

import { existsSync } from 'node:fs'
import { chmod, chown, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLaravelApp, type LaravelApp, WEB_USER } from '../tools/laravel/app.ts'
import { serveFpm } from '../tools/laravel/servers.ts'
import { summarize } from './measure.ts'
import { part } from './part.ts'
import { type RunningProcess, startProcess } from './processes.ts'
import { fillQueue, queueDepth } from './publish.ts'
import { type Turn, takeTurns } from './rounds.ts'
import { startSlowLine } from './slow-line.ts'
import { milliseconds, table, thousands, withRange } from './tables.ts'

const PAGES = { full: 200, quick: 60 }
/** The first pages compile and connect. */
const WARM_PAGES = 30
const FAR_MS = 20
/** While one request is handled, the next one waits, so that the only worker is never idle. */
const CONNECTIONS = 2

interface PagesRun {
  /** The time of the only worker from one page to the next. */
  workerMs: number
}

interface LaravelMeasured {
  pages: number
  brokers: { title: string; without: PagesRun[]; tracked: PagesRun[]; relay: PagesRun[]; floor: PagesRun[] }[]
}

export const LARAVEL = part<LaravelMeasured>({
  name: 'laravel',
  help: 'the time of a php-fpm worker a page of Laravel, without tracking, with it, and by the relay',
  isOnlyByName: true,

  async measure(bench) {
    const pages = bench.quick ? PAGES.quick : PAGES.full
    const { url: amqpUrl } = await bench.broker()
    await fillQueue(amqpUrl, []) // Declares the queue.
    const line = await startSlowLine(amqpUrl, FAR_MS)
    const blogs: (Blog & { relayed: RelayedBlog })[] = []
    const stops: (() => Promise<void>)[] = []
    try {
      for (const [name, title, url] of [
        ['near', 'the broker near by', amqpUrl],
        ['far', `the broker ${FAR_MS} ms away`, line.url],
      ] as const) {
        bench.say(`A blog with ${title} ...`)
        const blog = await startBlog(name, title, { POSTVIEWS_AMQP_URL: url })
        stops.push(blog.stop)
        const relayed = await startRelayedBlog(name, title, url)
        stops.push(relayed.stop)
        blogs.push({ ...blog, relayed })
      }
      const synced = await startSocketBlog('synced', SYNCED, {
        command: 'bench/contenders/answer-when-synced.ts',
      })
      stops.push(synced.stop)
      const turns: Turn<PagesRun>[] = blogs.flatMap(({ name, title, url, relayed }) => [
        {
          name: `${name}, without`,
          title: `${title}, no tracking`,
          run: () => showPages(`${url}/untracked/hello-world`, pages),
        },
        {
          name: `${name}, tracked`,
          title: `${title}, tracked`,
          run: () => published(amqpUrl, pages, () => showPages(`${url}/posts/hello-world`, pages)),
        },
        {
          name: `${name}, relay`,
          title: `${title}, by the relay`,
          run: () => relayed.relayed(pages, () => showPages(`${relayed.url}/posts/hello-world`, pages)),
        },
        {
          name: `${name}, floor`,
          title: SYNCED,
          run: () => showPages(`${synced.url}/posts/hello-world`, pages),
        },
      ])
      const runs = await takeTurns(bench, turns, ({ workerMs }) => `${milliseconds(workerMs)} a page`)
      const brokers = blogs.map(({ name, title }) => ({
        title,
        without: runs.get(`${name}, without`)!,
        tracked: runs.get(`${name}, tracked`)!,
        relay: runs.get(`${name}, relay`)!,
        floor: runs.get(`${name}, floor`)!,
      }))
      return { pages, brokers }
    } finally {
      for (const stop of stops) await stop()
      await line.close()
    }
  },

  show: ({ pages, brokers }) => ({
    tables: {
      laravel: table(
        [
          `${thousands(pages)} pages a round`,
          'without tracking',
          'tracked',
          'more',
          'by the relay',
          'more',
          'synced alone',
          'more',
        ],
        brokers.map(({ title, without, tracked, relay, floor }) => {
          const range = (values: number[]) => withRange(summarize(values), milliseconds)
          const columns = (runs: PagesRun[]) => [
            range(runs.map(({ workerMs }) => workerMs)),
            range(runs.map(({ workerMs }, round) => workerMs - without[round]!.workerMs)),
          ]
          return [title, columns(without)[0]!, ...columns(tracked), ...columns(relay), ...columns(floor)]
        }),
      ),
    },
    figures: {},
  }),
})

const ROUTES = `<?php

use App\\Http\\Controllers\\PostController;
use Illuminate\\Support\\Facades\\Route;

Route::get('/posts/{post}', [PostController::class, 'show'])->middleware('track.view:post');
Route::get('/untracked/{post}', [PostController::class, 'show']);
`

/** Shows no count: reading one is measured elsewhere. */
const VIEW = '<h1>{{ $post->title }}</h1>\n'

interface Blog {
  name: string
  title: string
  url: string
  stop(): Promise<void>
}

async function startBlog(
  name: string,
  title: string,
  env: Record<string, string>,
  prepare: (app: LaravelApp) => Promise<unknown> = async () => {},
): Promise<Blog> {
  const app = await createLaravelApp({
    env: { APP_ENV: 'production', ...env },
    files: { 'routes/web.php': ROUTES, 'resources/views/posts/show.blade.php': VIEW },
  })
  await prepare(app)
  const { code, stdout, stderr } = await app.artisan('optimize')
  if (code !== 0) throw new Error(`artisan optimize: ${stdout}${stderr}`)
  const server = await serveFpm(app, { workers: 1 })
  const stop = async () => {
    await server.stop()
    await app.remove()
  }
  return { name, title, url: server.url, stop }
}

interface RelayedBlog extends Blog {
  /** @throws {Error} unless the relay has published exactly one more view for each page */
  relayed<T>(pages: number, work: () => Promise<T>): Promise<T>
}

/** The lower bound: no relay that keeps its promise can be faster. */
const SYNCED = 'a server that syncs and answers in the place of the relay'

/** While the relay is away nothing else takes the views, so such a round is void. */
async function startRelayedBlog(name: string, title: string, amqpUrl: string): Promise<RelayedBlog> {
  const blog = await startSocketBlog(name, title, {
    command: 'packages/client/bin/postviews-relay.mjs',
    env: { AMQP_URL: amqpUrl },
    portName: 'RELAY_PORT',
    ready: '/livez',
  })
  const confirmed = async () => {
    const text = await (
      await fetch(`${blog.server.url}/metrics`, { headers: { connection: 'close' } })
    ).text()
    return Number(/^postviews_relay_confirmed_total (\d+)$/m.exec(text)?.[1])
  }
  return {
    ...blog,
    async relayed(pages, work) {
      const before = await confirmed()
      const outcome = await work()
      const expected = before + WARM_PAGES + pages
      // The relay publishes at its own pace; the next round must not wait for it.
      for (let tries = 0; tries < 100; tries++) {
        if ((await confirmed()) === expected) return outcome
        await sleep(20)
      }
      throw new Error(`the relay has published ${await confirmed()} views, not ${expected}`)
    },
  }
}

interface SocketBlog extends Blog {
  server: RunningProcess
}

/** A blog that sends its views to the process that listens on the relay's socket. */
async function startSocketBlog(
  name: string,
  title: string,
  {
    command,
    env = {},
    ...options
  }: { command: string; env?: Record<string, string>; portName?: string; ready?: string },
): Promise<SocketBlog> {
  let server: RunningProcess | undefined
  const blog = await startBlog(
    name,
    title,
    { POSTVIEWS_DRIVER: 'relay', POSTVIEWS_AMQP_URL: '' },
    async app => {
      const folder = join(app.folder, 'relay')
      await mkdir(folder)
      // The socket created in it gets the web server's group.
      await chown(folder, 0, WEB_USER)
      await chmod(folder, 0o2755)
      const socket = join(folder, 'relay.sock')
      await app.write('.env', `${app.read('.env')}POSTVIEWS_RELAY_SOCKET="${socket}"\n`)
      server = await startProcess({
        name: title,
        command: [command],
        env: { ...env, RELAY_SOCKET: socket, RELAY_SPOOL: join(folder, 'spool') },
        ready: async () => existsSync(socket),
        ...options,
        folder,
      })
      // The mode that the relay gives its socket.
      await chmod(socket, 0o660)
    },
  )
  const stop = () => blog.stop().finally(() => server!.stop())
  return { ...blog, server: server!, stop }
}

/** @throws {Error} when a page answers anything but 200 */
async function showPages(url: string, pages: number): Promise<PagesRun> {
  await show(url, WARM_PAGES)
  const since = performance.now()
  await show(url, pages)
  return { workerMs: (performance.now() - since) / pages }
}

async function show(url: string, pages: number): Promise<void> {
  let left = pages
  const reader = async () => {
    while (left-- > 0) {
      const { status } = await fetch(url, { headers: { connection: 'close' } })
      if (status !== 200) throw new Error(`${url}: ${status}`)
    }
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, reader))
}

/** @throws {Error} unless the queue has exactly one more message for each page: otherwise the worker did less work */
async function published<T>(amqpUrl: string, pages: number, work: () => Promise<T>): Promise<T> {
  const before = await queueDepth(amqpUrl)
  const outcome = await work()
  const expected = before + WARM_PAGES + pages
  // The last view is published after its page was sent.
  for (let tries = 0; tries < 100; tries++) if ((await queueDepth(amqpUrl)) === expected) return outcome
  throw new Error(`the queue holds ${await queueDepth(amqpUrl)} messages, not ${expected}`)
}
