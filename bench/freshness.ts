/** How long a view takes from `trackView` to the internal API, while 5,000 other views per second are published. */

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  createStats,
  createTracker,
  DEAD_QUEUE,
  declareTopology,
  VIEWS_QUEUE,
} from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import type { Bench } from './bench.ts'
import type { SteadyOptions, SteadyPublished } from './contenders/steady-publisher.ts'
import { type BenchEngine, mysqlEngine, sqliteEngine, withDatabase } from './databases.ts'
import { type Latencies, latenciesOf, summarize } from './measure.ts'
import { part } from './part.ts'
import { API_KEY, runContender, startService } from './processes.ts'
import { takeTurns } from './rounds.ts'
import { milliseconds, table, thousands, withRange } from './tables.ts'

const EVENTS_PER_SECOND = 5_000
const SECONDS = { full: 20, quick: 8 }
/** Not measured: the service starts, and its code is compiled. */
const WARM_SECONDS = 4
const PROBE_EVERY_MS = 50
/** The interval between two requests, in addition to the answer's time. It is the greatest error of the measurement. */
const ASK_EVERY_MS = 2
const PROBE_DEADLINE_MS = 30_000

interface FreshnessRun {
  latencies: Latencies
  /** The rate that was really published, per second. */
  eventsPerSecond: number
}

interface FreshnessMeasured {
  eventsPerSecond: number
  engines: { name: string; runs: FreshnessRun[] }[]
}

export const FRESHNESS = part<FreshnessMeasured>({
  name: 'freshness',
  help: `from publish to the API, at ${thousands(EVENTS_PER_SECOND)} events/s`,

  async measure(bench) {
    const engines = [sqliteEngine(bench.folder), mysqlEngine(await bench.mariadb())]
    const turns = engines.map(engine => ({
      name: engine.name,
      title: `postviews on ${engine.name}`,
      run: () => measureOnce(bench, engine),
    }))
    const runs = await takeTurns(
      bench,
      turns,
      ({ latencies }) => `p50 ${milliseconds(latencies.p50Ms)}, p99 ${milliseconds(latencies.p99Ms)}`,
    )
    return {
      eventsPerSecond: EVENTS_PER_SECOND,
      engines: engines.map(({ name }) => ({ name, runs: runs.get(name)! })),
    }
  },

  show: ({ engines }) => ({
    tables: {
      freshness: table(
        ['from publish to visible', 'published, events/s', 'p50', 'p99', 'longest', 'probes'],
        engines.map(({ name, runs }) => {
          const ofRuns = (value: (latencies: Latencies) => number) =>
            summarize(runs.map(({ latencies }) => value(latencies)))
          return [
            `postviews on ${name}`,
            thousands(summarize(runs.map(({ eventsPerSecond }) => eventsPerSecond)).median),
            withRange(
              ofRuns(({ p50Ms }) => p50Ms),
              milliseconds,
            ),
            withRange(
              ofRuns(({ p99Ms }) => p99Ms),
              milliseconds,
            ),
            milliseconds(ofRuns(({ maxMs }) => maxMs).max),
            thousands(runs.reduce((sum, { latencies }) => sum + latencies.count, 0)),
          ]
        }),
      ),
    },
    figures: {},
  }),
})

async function measureOnce(bench: Bench, engine: BenchEngine): Promise<FreshnessRun> {
  const broker = await bench.broker()
  const vhost = await broker.vhost()
  try {
    return await withDatabase(engine, async database => {
      await declareQueues(vhost.url)
      const { folder } = bench
      const service = await startService({ amqpUrl: vhost.url, databaseUrl: database.url, folder })
      try {
        const seconds = bench.quick ? SECONDS.quick : SECONDS.full
        const publishing = publishSteadily(bench, vhost.url, seconds + WARM_SECONDS)
        const [published, latencies] = await Promise.all([
          publishing,
          sleep(WARM_SECONDS * 1_000).then(() => probe(vhost.url, service.url, seconds)),
        ])
        const { stats, seconds: took } = published
        if (stats.dropped > 0) throw new Error(`the publisher dropped ${stats.dropped} events`)
        return { latencies, eventsPerSecond: stats.confirmed / took }
      } finally {
        await service.stop()
      }
    })
  } finally {
    await vhost.delete()
  }
}

async function declareQueues(amqpUrl: string): Promise<void> {
  const connection = await connect(amqpUrl)
  await declareTopology(connection, [DEAD_QUEUE, VIEWS_QUEUE])
  await connection.close()
}

/** Runs in its own process. */
export function publishSteadily(
  bench: Bench,
  amqpUrl: string,
  seconds: number,
  options: Partial<SteadyOptions> = {},
): Promise<SteadyPublished> {
  const argument: SteadyOptions = { amqpUrl, eventsPerSecond: EVENTS_PER_SECOND, seconds, ...options }
  return runContender('steady-publisher', argument, bench.folder)
}

/** Publishes a view of a new post again and again, and asks the API for those not visible yet. */
async function probe(amqpUrl: string, apiUrl: string, seconds: number): Promise<Latencies> {
  const tracker = createTracker({ url: amqpUrl, log: () => {} })
  const stats = createStats({ baseUrl: apiUrl, key: API_KEY })
  const waiting = new Map<string, number>()
  const tookMs: number[] = []
  const startMs = performance.now()
  let nextMs = startMs
  try {
    for (;;) {
      const nowMs = performance.now()
      const isOver = nowMs - startMs > seconds * 1_000
      if (isOver && waiting.size === 0) return latenciesOf(tookMs)
      if (nowMs - startMs > seconds * 1_000 + PROBE_DEADLINE_MS)
        throw new Error('a view never became visible')
      if (!isOver && nowMs >= nextMs) {
        nextMs += PROBE_EVERY_MS
        const post = randomUUID()
        waiting.set(post, nowMs)
        tracker.trackView({ post_uuid: post, ip: '192.0.2.1' })
      }
      // One call for many posts, so that these requests remain a small part of the load.
      const posts = [...waiting.keys()].slice(0, 200)
      const answer = posts.length === 0 ? [] : (await stats.postsViews(posts)).posts
      const seenMs = performance.now()
      for (const { post_uuid, views } of answer) {
        if (views === 0) continue
        tookMs.push(seenMs - waiting.get(post_uuid)!)
        waiting.delete(post_uuid)
      }
      await sleep(ASK_EVERY_MS)
    }
  } finally {
    await tracker.close()
  }
}
