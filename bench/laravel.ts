/** What tracking costs a PHP worker: a page of a real Laravel under php-fpm, with the middleware and without. */

import { createLaravelApp } from '../tools/laravel/app.ts'
import { serveFpm } from '../tools/laravel/servers.ts'
import type { Bench } from './bench.ts'
import { summarize } from './measure.ts'
import { part } from './part.ts'
import { fillQueue, queueDepth } from './publish.ts'
import { type Turn, takeTurns } from './rounds.ts'
import { startSlowLine } from './slow-line.ts'
import { milliseconds, table, thousands, withRange } from './tables.ts'

const PAGES = { full: 200, quick: 60 }
/** The first pages compile and connect. */
const WARM_PAGES = 30
const FAR_MS = 20
/** One works while the next waits: the only worker never waits for a request. */
const CONNECTIONS = 2

interface PagesRun {
  /** From one page to the next, of the only worker. */
  workerMs: number
}

interface LaravelMeasured {
  pages: number
  brokers: { title: string; without: PagesRun[]; tracked: PagesRun[] }[]
}

export const LARAVEL = part<LaravelMeasured>({
  name: 'laravel',
  help: 'the time of a php-fpm worker a page of Laravel, with tracking and without',
  isOnlyByName: true,

  async measure(bench) {
    const pages = bench.quick ? PAGES.quick : PAGES.full
    const { url: amqpUrl } = await bench.broker()
    await fillQueue(amqpUrl, []) // Makes it.
    const line = await startSlowLine(amqpUrl, FAR_MS)
    const blogs = [
      await startBlog(bench, 'near', 'the broker near by', amqpUrl),
      await startBlog(bench, 'far', `the broker ${FAR_MS} ms away`, line.url),
    ]
    try {
      const turns: Turn<PagesRun>[] = blogs.flatMap(({ name, title, url }) => [
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
      ])
      const runs = await takeTurns(bench, turns, ({ workerMs }) => `${milliseconds(workerMs)} a page`)
      const brokers = blogs.map(({ name, title }) => ({
        title,
        without: runs.get(`${name}, without`)!,
        tracked: runs.get(`${name}, tracked`)!,
      }))
      return { pages, brokers }
    } finally {
      for (const { stop } of blogs) await stop()
      await line.close()
    }
  },

  show: ({ pages, brokers }) => ({
    tables: {
      laravel: table(
        [`${thousands(pages)} pages a round`, 'without tracking', 'tracked', 'more'],
        brokers.map(({ title, without, tracked }) => {
          const range = (values: number[]) => withRange(summarize(values), milliseconds)
          const more = tracked.map(({ workerMs }, round) => workerMs - without[round]!.workerMs)
          return [
            title,
            range(without.map(({ workerMs }) => workerMs)),
            range(tracked.map(({ workerMs }) => workerMs)),
            range(more),
          ]
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

/** Reading a count is another matter. */
const VIEW = '<h1>{{ $post->title }}</h1>\n'

interface Blog {
  name: string
  title: string
  url: string
  stop(): Promise<void>
}

async function startBlog(bench: Bench, name: string, title: string, amqpUrl: string): Promise<Blog> {
  bench.say(`A blog with ${title} ...`)
  const app = await createLaravelApp({
    env: { APP_ENV: 'production', POSTVIEWS_AMQP_URL: amqpUrl },
    files: { 'routes/web.php': ROUTES, 'resources/views/posts/show.blade.php': VIEW },
  })
  const { code, stdout, stderr } = await app.artisan('optimize')
  if (code !== 0) throw new Error(`artisan optimize: ${stdout}${stderr}`)
  const server = await serveFpm(app, { workers: 1 })
  const stop = async () => {
    await server.stop()
    await app.remove()
  }
  return { name, title, url: server.url, stop }
}

/** @throws {Error} when a page is anything but 200 */
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

/** @throws {Error} when the queue has not one message more for each page: the worker was then spared work */
async function published<T>(amqpUrl: string, pages: number, work: () => Promise<T>): Promise<T> {
  const before = await queueDepth(amqpUrl)
  const outcome = await work()
  const expected = before + WARM_PAGES + pages
  // The last one is published after its page was sent.
  for (let tries = 0; tries < 100; tries++) if ((await queueDepth(amqpUrl)) === expected) return outcome
  throw new Error(`the queue holds ${await queueDepth(amqpUrl)} messages, not ${expected}`)
}
