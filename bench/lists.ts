/** How long the largest answers take with very many posts in the store, and whether other requests wait for them. */

import { loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { holdFreePort } from '../tools/stack/ports.ts'
import type { Bench } from './bench.ts'
import { BIG_POOL } from './big-store.ts'
import { type BenchDatabase, mysqlEngine, sqliteEngine, withDatabase } from './databases.ts'
import { countedBy } from './drain.ts'
import { grouped, makeEvents, postUuids } from './events.ts'
import { load } from './load.ts'
import { latenciesOf, residentBytes, summarize } from './measure.ts'
import { part } from './part.ts'
import { API_KEY, type RunningProcess, startService } from './processes.ts'
import { fillQueue } from './publish.ts'
import { decimal, megabytes, milliseconds, table, thousands } from './tables.ts'
import { fillWide, lastDays, WIDE_DAYS } from './wide-store.ts'

const POSTS = { full: [250_000, 1_000_000], quick: [20_000] }
const HOSTS = { full: 20_000, quick: 5_000 }
const SECONDS = { full: 4, quick: 1 }
const EVENTS = { full: 800_000, quick: 200_000 }
const INGEST_MS = 10_000
const ROUNDS = 3
const MANY = 50
const MAX_TRIES = 10
/** The interval of each of the many clients while events are counted. */
const ASKED_EVERY_MS = 1_000
/** The events of the ingest turns are views of few of the posts. */
const EVENT_POSTS = 1_000

interface Answers {
  title: string
  firstMs: number
  p50Ms: number
  p99Ms: number
  maxMs: number
  /** The longest delay of the service's event loop, and its CPU time. */
  loop: LoopHeld
}

interface LoopHeld {
  maxMs: number
  maxCpuMs: number
}

interface AtOnce {
  /** Until all clients have their answers. */
  allMs: number
  livezMaxMs: number
  loop: LoopHeld
}

interface ListsMeasured {
  stores: {
    engine: string
    posts: number
    answers: Answers[]
    atOnce: AtOnce
    residentBytes: number
    /** By turn: without the many clients, and with them. */
    aloneEventsPerSecond: number[]
    besideEventsPerSecond: number[]
    besideLivezMaxMs: number
    besideListP99Ms: number
    load: string
  }[]
}

export const LISTS = part<ListsMeasured>({
  name: 'lists',
  help: 'the largest answers from a store with very many posts, and who waits for them',

  async measure(bench) {
    const stores: ListsMeasured['stores'] = []
    for (const engine of [sqliteEngine(bench.folder), mysqlEngine(await bench.mariadb(...BIG_POOL))]) {
      for (const posts of bench.quick ? POSTS.quick : POSTS.full) {
        stores.push(
          await withDatabase(engine, async database => {
            await fillWide(bench, database, { posts, hosts: bench.quick ? HOSTS.quick : HOSTS.full })
            const read = await measureReads(bench, database, posts)
            const counted = await measureIngest(bench, database, posts)
            const found = {
              engine: engine.name,
              posts,
              ...read,
              ...counted,
              load: loadavg().map(decimal).join(' '),
            }
            bench.say(`${engine.name}, ${thousands(posts)} posts: done, load ${found.load}`)
            return found
          }),
        )
      }
    }
    return { stores }
  },

  show: ({ stores }) => ({
    tables: {
      lists: stores
        .map(({ engine, posts, answers }) =>
          table(
            [
              `${engine}, ${thousands(posts)} posts`,
              'first',
              'p50',
              'p99',
              'at most',
              'loop held',
              'of that CPU',
            ],
            answers.map(({ title, firstMs, p50Ms, p99Ms, maxMs, loop }) => [
              title,
              ...[firstMs, p50Ms, p99Ms, maxMs, loop.maxMs, loop.maxCpuMs].map(milliseconds),
            ]),
          ),
        )
        .join('\n\n'),
      'lists-beside': table(
        [
          '',
          `${MANY} pages at once`,
          '/livez meanwhile',
          'loop held',
          'of that CPU',
          'memory of the service',
          'events/s',
          `beside ${MANY} readers`,
          'ratio',
          '/livez meanwhile',
          'their p99',
          'load after',
        ],
        stores.map(store => [
          `${store.engine}, ${thousands(store.posts)} posts`,
          milliseconds(store.atOnce.allMs),
          milliseconds(store.atOnce.livezMaxMs),
          milliseconds(store.atOnce.loop.maxMs),
          milliseconds(store.atOnce.loop.maxCpuMs),
          megabytes(store.residentBytes),
          thousands(summarize(store.aloneEventsPerSecond).median),
          thousands(summarize(store.besideEventsPerSecond).median),
          decimal(
            summarize(store.besideEventsPerSecond).median / summarize(store.aloneEventsPerSecond).median,
          ),
          milliseconds(store.besideLivezMaxMs),
          milliseconds(store.besideListP99Ms),
          store.load,
        ]),
      ),
    },
    figures: {},
  }),
})

interface Watched extends RunningProcess {
  /** Since the last call. */
  loopHeld(): Promise<LoopHeld>
}

async function startWatched(
  bench: Bench,
  databaseUrl: string,
  amqpUrl: string,
  command?: 'api',
): Promise<Watched> {
  const port = await holdFreePort()
  const preload = new URL('./contenders/loop-watch.ts', import.meta.url).href
  const service = await startService({
    amqpUrl,
    databaseUrl,
    folder: bench.folder,
    ...(command && { command }),
    settings: {
      RAW_RETENTION_DAYS: '0',
      LOOP_PORT: String(port.port),
      NODE_OPTIONS: `--import=${preload}`,
    },
  })
  return Object.assign(service, {
    async loopHeld() {
      const answer = await fetch(`http://127.0.0.1:${port.port}`)
      return (await answer.json()) as LoopHeld
    },
  })
}

const HEADERS = { 'x-internal-api-key': API_KEY }

function routesOf(posts: number): { title: string; nextPath(): string }[] {
  const ids = postUuids(posts)
  const below = (count: number) => Math.floor(Math.random() * count)
  const [from, to] = [lastDays(WIDE_DAYS * 12)[0], lastDays(1)[0]]
  const page = (period: string, limit: number, total: number) => ({
    title: `/posts/top, ${period}, ${limit} posts, anywhere`,
    nextPath: () => `/api/v1/posts/top?${periodOf(period)}&limit=${limit}&offset=${below(total - limit)}`,
  })
  const periodOf = (period: string) => (period === '360 days' ? `from=${from}&to=${to}` : `period=${period}`)
  const some = (count: number) => Array.from({ length: count }, () => ids[below(posts)]).join()
  const list = (title: string, path: () => string) => ({ title, nextPath: path })
  return [
    page('all', 100, posts),
    page('today', 100, posts / 5),
    page('7d', 100, posts),
    page('30d', 100, posts),
    page('30d', 1_000, posts),
    page('360 days', 1_000, posts),
    list('/posts/views, 200 posts of 100 days', () => `/api/v1/posts/views?days=100&uuids=${some(200)}`),
    list('/posts/{uuid}/views/daily, 800 days', () => `/api/v1/posts/${some(1)}/views/daily?days=800`),
    list('/views/daily, 800 days', () => '/api/v1/views/daily?days=800'),
    list('/referrers, a day of many hosts', () => '/api/v1/referrers?days=1&limit=100'),
    list('/referrers, 30 days', () => '/api/v1/referrers?days=30&limit=100'),
    list('/status', () => '/api/v1/status'),
    list('/openapi.json', () => '/api/v1/openapi.json'),
  ]
}

async function measureReads(bench: Bench, { url: databaseUrl }: BenchDatabase, posts: number) {
  const service = await startWatched(bench, databaseUrl, 'amqp://127.0.0.1:1', 'api')
  try {
    const answers: Answers[] = []
    for (const { title, nextPath } of routesOf(posts)) {
      bench.progress(title, 0, 1)
      const nextUrl = () => service.url + nextPath()
      const firstMs = await timed(() => untilAnswered(nextUrl()))
      await service.loopHeld()
      const seconds = bench.quick ? SECONDS.quick : SECONDS.full
      const { tookMs } = await load({ nextUrl, headers: HEADERS, connections: 1, seconds })
      const { p50Ms, p99Ms, maxMs } = latenciesOf(tookMs)
      answers.push({ title, firstMs, p50Ms, p99Ms, maxMs, loop: await service.loopHeld() })
    }
    const deep = () => routesOf(posts)[4]!.nextPath()
    const pages = Array.from({ length: MANY }, deep)
    await service.loopHeld()
    const probe = probeLivez(service)
    const allMs = await timed(() => Promise.all(pages.map(path => ask(service.url + path))))
    const livezMaxMs = await probe.stop()
    return {
      answers,
      atOnce: { allMs, livezMaxMs, loop: await service.loopHeld() },
      residentBytes: residentBytes(service.pid),
    }
  } finally {
    await service.stop()
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  await work()
  return performance.now() - startMs
}

/** An answer that takes more than 15 s to read is 503 until it has been read. */
async function untilAnswered(url: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      return await ask(url)
    } catch (error) {
      if (tries >= MAX_TRIES) throw error
    }
  }
}

async function ask(url: string): Promise<void> {
  const answer = await fetch(url, { headers: HEADERS })
  if (!answer.ok) throw new Error(`${url} answers ${answer.status}`)
  await answer.arrayBuffer()
}

/** Requests `/livez` again and again, and returns the longest time. */
function probeLivez({ url }: RunningProcess): { stop(): Promise<number> } {
  let isStopped = false
  const probing = (async () => {
    let maxMs = 0
    do {
      maxMs = Math.max(maxMs, await timed(() => ask(`${url}/livez`)))
      await sleep(10)
    } while (!isStopped)
    return maxMs
  })()
  return {
    stop() {
      isStopped = true
      return probing
    },
  }
}

async function measureIngest(bench: Bench, database: BenchDatabase, posts: number) {
  const alone: number[] = []
  const beside: number[] = []
  const listMs: number[] = []
  let livezMaxMs = 0
  const rounds = Math.min(bench.rounds, ROUNDS)
  for (let round = 0; round < rounds; round++) {
    alone.push(await ingest(bench, database, async () => async () => {}))
    const read = async (service: RunningProcess) => {
      const routes = routesOf(posts)
      let isStopped = false
      await untilAnswered(service.url + routes[4]!.nextPath())
      const probe = probeLivez(service)
      const readers = Array.from({ length: MANY }, async (_, index) => {
        await sleep((index * ASKED_EVERY_MS) / MANY)
        while (!isStopped) {
          const tookMs = await timed(() => ask(service.url + routes[4]!.nextPath()))
          listMs.push(tookMs)
          await sleep(Math.max(0, ASKED_EVERY_MS - tookMs))
        }
      })
      return async () => {
        isStopped = true
        livezMaxMs = Math.max(livezMaxMs, await probe.stop())
        await Promise.all(readers)
      }
    }
    beside.push(await ingest(bench, database, read))
    bench.say(
      `round ${round + 1} of ${rounds}: ${thousands(alone.at(-1)!)} and ${thousands(beside.at(-1)!)} events/s`,
    )
  }
  return {
    aloneEventsPerSecond: alone,
    besideEventsPerSecond: beside,
    besideLivezMaxMs: livezMaxMs,
    besideListP99Ms: latenciesOf(listMs).p99Ms,
  }
}

let turn = 0

/**
 * Events counted per second while a queue is emptied, once the reader is ready.
 * @param read begins to read, and gives what ends it
 */
async function ingest(
  bench: Bench,
  database: BenchDatabase,
  read: (service: RunningProcess) => Promise<() => Promise<void>>,
): Promise<number> {
  const events = makeEvents({
    seed: `lists ${++turn}`,
    count: bench.quick ? EVENTS.quick : EVENTS.full,
    untilMs: Date.now(),
    posts: EVENT_POSTS,
    days: 0.01,
  })
  const broker = await bench.broker()
  const vhost = await broker.vhost()
  try {
    await fillQueue(vhost.url, grouped(events), done => bench.progress('publish', done, events.length))
    const service = await startService({
      amqpUrl: vhost.url,
      databaseUrl: database.url,
      folder: bench.folder,
      settings: { RAW_RETENTION_DAYS: '0' },
    })
    try {
      const stop = await read(service)
      const from = { counted: await countedBy(service), atMs: performance.now() }
      let to = from
      while (to.counted < events.length && to.atMs - from.atMs < INGEST_MS) {
        await sleep(50)
        to = { counted: await countedBy(service), atMs: performance.now() }
      }
      await stop()
      if (to.counted - from.counted < events.length / 10)
        throw new Error('it was counted before all were ready')
      return ((to.counted - from.counted) * 1_000) / (to.atMs - from.atMs)
    } finally {
      await service.stop()
    }
  } finally {
    await vhost.delete()
  }
}
