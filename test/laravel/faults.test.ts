/** What is done to the broker while a Laravel application shows posts: readers do not wait, and each view is counted once or told. */

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { type Rabbitmq, startRabbitmq } from '../../tools/stack/rabbitmq.ts'
import { atEnd } from '../support/at-end.ts'
import { type LaravelApp, laravelApp, page, serving, working } from '../support/laravel-app.ts'
import { BLOG, startCounting } from '../support/laravel-visits.ts'
import { messageCount } from '../support/published.ts'
import { declareQueues } from '../support/system.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

const WORKERS = 3
/** A reader waits for the page, never for the broker, of whose absence one worker learns after the page was sent. */
const LONGEST_PAGE_MS = 1_500
const PAGES_BEFORE = 5
const PAGES_MEANWHILE = 15
const HEAL_DEADLINE_MS = 90_000

/** This file's own, as harm is done to it. */
const broker = await startRabbitmq()
after(() => broker.stop())

interface Fault {
  what: string
  begin(broker: Rabbitmq): Promise<unknown>
  end(broker: Rabbitmq): Promise<unknown>
}

const FAULTS: readonly Fault[] = [
  { what: 'is away', begin: ({ kill }) => kill(), end: ({ restart }) => restart() },
  {
    what: 'hangs',
    begin: async ({ pause }) => pause(),
    end: async ({ resume }) => resume(),
  },
  {
    what: 'has a memory alarm',
    begin: ({ ctl }) => ctl('set_vm_memory_high_watermark', '0'),
    end: ({ ctl }) => ctl('set_vm_memory_high_watermark', '0.6'),
  },
]

/** Pages one after the other: how long the slowest took. */
async function showPosts(url: string, count: number): Promise<number> {
  let slowestMs = 0
  for (let shown = 0; shown < count; shown++) {
    const { status, tookMs } = await page(`${url}/posts/third`)
    assert.equal(status, 200)
    slowestMs = Math.max(slowestMs, tookMs)
  }
  return slowestMs
}

/** The sum of what the log says was dropped. */
function droppedOf(app: LaravelApp): number {
  return app
    .log()
    .split('\n')
    .filter(line => line.includes('postviews: view.dropped'))
    .reduce((sum, line) => sum + Number(/(\d+) views?/.exec(line)![1]), 0)
}

for (const { what, begin, end } of FAULTS) {
  test(`while the broker ${what}, nobody waits, and with a queue every view is counted once`, async t => {
    const vhost = await broker.vhost()
    const counting = await startCounting(t, vhost.url)
    await broker.settle()
    const app = await laravelApp(t, {
      env: { POSTVIEWS_AMQP_URL: vhost.url, POSTVIEWS_QUEUE_CONNECTION: 'database' },
      files: BLOG,
    })
    await working(t, app)
    const server = await serving(t, app, 'php-fpm with nginx', { workers: WORKERS })
    await showPosts(server.url, PAGES_BEFORE)
    await until('the first views are counted', async () => (await counting.rows()) === PAGES_BEFORE)

    await begin(broker)
    atEnd(t, () => broker.resume())
    const slowestMs = await showPosts(server.url, PAGES_MEANWHILE)
    assert.ok(slowestMs < LONGEST_PAGE_MS, `a reader waited ${slowestMs} ms`)
    assert.equal(await counting.rows(), PAGES_BEFORE)
    await end(broker)

    await showPosts(server.url, 1)
    const all = PAGES_BEFORE + PAGES_MEANWHILE + 1
    await until('all are counted', async () => (await counting.rows()) >= all, HEAL_DEADLINE_MS)
    assert.equal(droppedOf(app), 0)
    const [stored] = await counting.database.query(
      'SELECT COUNT(*) AS views, COUNT(DISTINCT event_id) AS ids FROM post_views',
    )
    assert.deepEqual({ ...stored }, { views: all, ids: all })
  })
}

test('while the broker is away, a command that tracks ten thousand views, and those that end early, lose none', async t => {
  const vhost = await broker.vhost()
  const counting = await startCounting(t, vhost.url)
  await broker.settle()
  const app = await laravelApp(t, {
    env: { POSTVIEWS_AMQP_URL: vhost.url, POSTVIEWS_QUEUE_CONNECTION: 'database' },
    files: {
      ...BLOG,
      'routes/console.php': `<?php
use Illuminate\\Support\\Facades\\Artisan;
use Postviews\\Laravel\\Facades\\AnalyticsApi;

Artisan::command('views:track {views} {--end=}', function (): void {
    for ($view = 0; $view < $this->argument('views'); $view++) {
        AnalyticsApi::trackView(['post_id' => 3]);
    }
    match ($this->option('end')) {
        'exit' => exit(3),
        'fatal' => str_repeat('x', PHP_INT_MAX - 100),
        default => null,
    };
});
`,
    },
  })
  await broker.kill()
  assert.equal((await app.artisan('views:track', '10000')).code, 0)
  assert.equal((await app.artisan('views:track', '1', '--end=exit')).code, 3)
  assert.equal((await app.artisan('views:track', '1', '--end=fatal')).code, 255)
  await broker.restart()
  assert.equal(droppedOf(app), 0)
  await working(t, app)
  await until('all are counted', async () => (await counting.rows()) === 10_002, HEAL_DEADLINE_MS)
})

test('without a queue, what was shown while the broker is away is counted or told as dropped', async t => {
  const vhost = await broker.vhost()
  const counting = await startCounting(t, vhost.url)
  await broker.settle()
  const app = await laravelApp(t, { env: { POSTVIEWS_AMQP_URL: vhost.url }, files: BLOG })
  const server = await serving(t, app, 'php-fpm with nginx', { workers: WORKERS })
  await showPosts(server.url, PAGES_BEFORE)
  await until('the first views are counted', async () => (await counting.rows()) === PAGES_BEFORE)
  await broker.kill()
  await showPosts(server.url, PAGES_MEANWHILE)
  await until('all of them are told', () => droppedOf(app) === PAGES_MEANWHILE)
  await broker.restart()
  let shown = PAGES_BEFORE + PAGES_MEANWHILE
  // The first page after the rest tries again.
  await until(
    'a view is counted again',
    async () => {
      await showPosts(server.url, 1)
      shown++
      return (await counting.rows()) > PAGES_BEFORE
    },
    HEAL_DEADLINE_MS,
  )
  await until('the rest is counted', async () => (await counting.rows()) === shown - droppedOf(app))
  assert.ok(!app.log().includes('guest:guest'))
})

test('a long-lived worker keeps the views of an outage, and sends them when the broker is back', async t => {
  const vhost = await broker.vhost()
  const counting = await startCounting(t, vhost.url)
  await broker.settle()
  const app = await laravelApp(t, { env: { POSTVIEWS_AMQP_URL: vhost.url }, files: BLOG })
  const server = await serving(t, app, 'a worker loop as Octane’s')
  await showPosts(server.url, PAGES_BEFORE)
  await broker.kill()
  await showPosts(server.url, PAGES_MEANWHILE)
  await broker.restart()
  let shown = PAGES_BEFORE + PAGES_MEANWHILE
  await until(
    'all are counted',
    async () => {
      await showPosts(server.url, 1)
      shown++
      return (await counting.rows()) > PAGES_BEFORE + PAGES_MEANWHILE
    },
    HEAL_DEADLINE_MS,
  )
  await until('the last is counted', async () => (await counting.rows()) === shown)
  assert.equal(droppedOf(app), 0)
})

test('a broker 20 ms away costs the reader nothing, and every view is counted', async t => {
  const vhost = await broker.vhost()
  const counting = await startCounting(t, vhost.url)
  const proxy = await startTcpProxy(broker.port)
  atEnd(t, () => proxy.close())
  proxy.delay(20)
  const app = await laravelApp(t, { env: { POSTVIEWS_AMQP_URL: proxy.through(vhost.url) }, files: BLOG })
  const server = await serving(t, app, 'php-fpm with nginx', { workers: WORKERS })
  await showPosts(server.url, 30)
  await until('all are counted', async () => (await counting.rows()) === 30)
  assert.doesNotMatch(app.log(), /postviews: /)
})

test('while the broker is away one process probes for all: those of root and of the web server alike', async t => {
  const vhost = await broker.vhost()
  const proxy = await startTcpProxy(broker.port)
  atEnd(t, () => proxy.close())
  const app = await laravelApp(t, {
    env: { POSTVIEWS_AMQP_URL: proxy.through(vhost.url) },
    files: {
      ...BLOG,
      'routes/console.php': `<?php
use Illuminate\\Support\\Facades\\Artisan;
use Postviews\\Laravel\\Facades\\AnalyticsApi;

Artisan::command('views:track', fn () => AnalyticsApi::trackView(['post_id' => 3]));
`,
    },
  })
  const server = await serving(t, app, 'php-fpm with nginx', { workers: WORKERS })
  proxy.refuse()
  const { code } = await app.artisan('views:track')
  assert.equal(code, 0)
  await showPosts(server.url, 1)
  await until('the web server has tried', () => proxy.taken >= 2)
  const tried = proxy.taken
  const slowestMs = await showPosts(server.url, PAGES_MEANWHILE)
  assert.ok(slowestMs < LONGEST_PAGE_MS)
  // It rests for 5 s, of which these pages take no more than two.
  assert.ok(proxy.taken - tried <= 2, `${proxy.taken - tried} connections for ${PAGES_MEANWHILE} pages`)
  assert.doesNotMatch(app.log(), /rest\.unshared/)
})

test('120 requests of a long-lived worker share one connection', async t => {
  const vhost = await broker.vhost()
  await declareQueues(vhost.url)
  const proxy = await startTcpProxy(broker.port)
  atEnd(t, () => proxy.close())
  const app = await laravelApp(t, { env: { POSTVIEWS_AMQP_URL: proxy.through(vhost.url) }, files: BLOG })
  const server = await serving(t, app, 'a worker loop as Octane’s')
  await showPosts(server.url, 120)
  await until('all are published', async () => (await messageCount(vhost.url)) === 120)
  assert.deepEqual([proxy.taken, proxy.open], [1, 1])
  await server.stop()
  await until('it is closed with the worker', () => proxy.open === 0)
})
