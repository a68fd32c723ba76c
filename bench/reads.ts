/** How fast the internal API answers from a big store, from a small one, and while views are counted. */

import { runBacklog } from './backlog.ts'
import type { Bench } from './bench.ts'
import { BIG_DAYS, BIG_POOL, BIG_POSTS, bigClickhouse, bigMariadb, bigSqlite } from './big-store.ts'
import {
  type BenchDatabase,
  type BenchEngine,
  clickhouseEngine,
  mysqlEngine,
  sqliteEngine,
  withDatabase,
} from './databases.ts'
import { grouped, makeEvents, postUuids } from './events.ts'
import { publishSteadily } from './freshness.ts'
import { load } from './load.ts'
import { cpuSeconds, type Latencies, latenciesOf } from './measure.ts'
import { part } from './part.ts'
import { API_KEY, type RunningProcess, startService } from './processes.ts'
import { countRawRows, type RawCount } from './raw-counts.ts'
import { apiRoutes, POSTS_AT_ONCE, type Route } from './routes.ts'
import { decimal, milliseconds, table, thousands } from './tables.ts'

const SECONDS = { full: 4, quick: 1 }
const ROUNDS = 3
/** The small store has this many times fewer views: 100,000 where the big one has ten million. */
const SMALLER = 100
const MAX_RATE_EVENTS = 100_000
const MANY_CONNECTIONS = 32

interface RouteReads {
  route: string
  small: Latencies
  big: Latencies
  /** While views are counted at half the maximum rate. */
  busy: Latencies
  /** While another service counts at that rate into another database: the part that comes from sharing the machine. */
  besideOther: Latencies
}

interface Throughput {
  requestsPerSecond: number
  /** Per second of CPU time of service and database: what one core could answer. */
  requestsPerCpuSecond: number
}

interface EngineReads {
  name: string
  rows: number
  smallRows: number
  routes: RouteReads[]
  /** Of `/views`, with many connections. */
  throughput: Throughput
  /** Half of the maximum rate. */
  busyEventsPerSecond: number
  rawCounts: RawCount[]
}

interface ReadsMeasured {
  posts: number
  days: number
  engines: EngineReads[]
}

export const READS = part<ReadsMeasured>({
  name: 'reads',
  help: 'how fast the API answers, from a big store and a small one, idle and counting',

  async measure(bench) {
    const smallRows = Math.ceil(bench.rows / SMALLER)
    const engines = [
      await measureEngine(bench, sqliteEngine(bench.folder), {
        big: await bigSqlite(bench, bench.rows),
        small: await bigSqlite(bench, smallRows),
      }),
    ]
    const big = await bigMariadb(bench, bench.rows, BIG_POOL)
    const small = await bigMariadb(bench, smallRows, BIG_POOL)
    try {
      engines.push(await measureEngine(bench, mysqlEngine(await bench.mariadb()), { big, small }))
    } finally {
      await small.stop()
      await big.stop()
    }
    const clickhouse = await bench.clickhouse()
    if (clickhouse !== undefined) {
      engines.push(
        await measureEngine(bench, clickhouseEngine(clickhouse), {
          big: await bigClickhouse(bench, clickhouse, bench.rows),
          small: await bigClickhouse(bench, clickhouse, smallRows),
        }),
      )
    }
    return { posts: BIG_POSTS, days: BIG_DAYS, engines }
  },

  show: ({ engines }) => ({
    tables: {
      reads: engines.map(routesTable).join('\n\n'),
      'reads-throughput': throughputTable(engines),
      'reads-raw': table(
        ['the same from raw rows, in SQL', ...engines.map(({ name }) => name)],
        engines[0]!.rawCounts.map(({ question }, index) => [
          question,
          ...engines.map(({ rawCounts }) => milliseconds(rawCounts[index]!.tookMs)),
        ]),
      ),
    },
    figures: {},
  }),
})

type SizedDatabase = BenchDatabase & { rows: number }

async function measureEngine(
  bench: Bench,
  engine: BenchEngine,
  { big, small }: { big: SizedDatabase; small: SizedDatabase },
): Promise<EngineReads> {
  return withDatabase(engine, other => measureReads(bench, engine.name, { big, small, other }))
}

async function measureReads(
  bench: Bench,
  name: string,
  { big, small, other }: { big: SizedDatabase; small: SizedDatabase; other: BenchDatabase },
): Promise<EngineReads> {
  const busyEventsPerSecond = Math.floor((await greatestRate(bench, big)) / 2)
  const rawCounts = await countRawRows(big)
  const broker = await bench.broker()
  const vhosts = [await broker.vhost(), await broker.vhost(), await broker.vhost()] as const
  const services: RunningProcess[] = []
  const start = async ({ url }: BenchDatabase, amqpUrl: string) => {
    const settings = { RAW_RETENTION_DAYS: '0' }
    const service = await startService({ amqpUrl, databaseUrl: url, folder: bench.folder, settings })
    services.push(service)
    return service
  }
  try {
    const ofSmall = await start(small, vhosts[0].url)
    const ofBig = await start(big, vhosts[1].url)
    await start(other, vhosts[2].url)
    const took = new Map<string, Took>(
      ROUTES.map(({ title }) => [title, { small: [], big: [], busy: [], besideOther: [] }]),
    )
    // Reads the data from disk once, because the parts compare the cost of answers from memory.
    for (const service of [ofSmall, ofBig]) await askForEveryPost(service)
    const rounds = Math.min(bench.rounds, ROUNDS)
    for (let round = 1; round <= rounds; round++) {
      for (const route of ROUTES) {
        took.get(route.title)!.small.push(...(await ask(bench, ofSmall, route)))
        took.get(route.title)!.big.push(...(await ask(bench, ofBig, route)))
      }
      const counting = { busy: vhosts[1], besideOther: vhosts[2] } as const
      for (const state of ['busy', 'besideOther'] as const) {
        const seconds = secondsOf(bench) * ROUTES.length
        const options = { eventsPerSecond: busyEventsPerSecond, posts: BIG_POSTS }
        const publishing = publishSteadily(bench, counting[state].url, seconds, options)
        const reading = (async () => {
          for (const route of ROUTES) took.get(route.title)![state].push(...(await ask(bench, ofBig, route)))
        })()
        await Promise.all([publishing, reading])
      }
      bench.say(`round ${round} of ${rounds}  ${name}`)
    }
    const throughput = await measureThroughput(bench, ofBig, big)
    const routes = [...took].map(([route, { small, big, busy, besideOther }]) => ({
      route,
      small: latenciesOf(small),
      big: latenciesOf(big),
      busy: latenciesOf(busy),
      besideOther: latenciesOf(besideOther),
    }))
    const { rows } = big
    return { name, rows, smallRows: small.rows, routes, throughput, busyEventsPerSecond, rawCounts }
  } finally {
    for (const service of services) await service.stop()
    for (const vhost of vhosts) await vhost.delete()
  }
}

type Took = Record<Exclude<keyof RouteReads, 'route'>, number[]>

const ROUTES = apiRoutes(BIG_POSTS)

function secondsOf({ quick }: Bench): number {
  return quick ? SECONDS.quick : SECONDS.full
}

async function ask(bench: Bench, { url }: RunningProcess, route: Route): Promise<number[]> {
  const { tookMs } = await load({
    nextUrl: () => url + route.nextPath(),
    headers: { 'x-internal-api-key': API_KEY },
    connections: 1,
    seconds: secondsOf(bench),
  })
  return tookMs
}

async function askForEveryPost({ url }: RunningProcess): Promise<void> {
  const posts = postUuids(BIG_POSTS)
  for (let first = 0; first < posts.length; first += POSTS_AT_ONCE) {
    const uuids = posts.slice(first, first + POSTS_AT_ONCE).join()
    const answer = await fetch(`${url}/api/v1/posts/views?days=30&uuids=${uuids}`, {
      headers: { 'x-internal-api-key': API_KEY },
    })
    if (!answer.ok) throw new Error(`/posts/views answers ${answer.status}`)
    await answer.arrayBuffer()
  }
}

async function greatestRate(bench: Bench, database: BenchDatabase): Promise<number> {
  const events = makeEvents({
    seed: 'rate',
    count: MAX_RATE_EVENTS,
    untilMs: Date.now(),
    posts: BIG_POSTS,
  })
  const { eventsPerSecond } = await runBacklog(bench, {
    total: events.length,
    messages: grouped(events),
    counts: { database, expected: null },
    start: async amqpUrl => [
      await startService({
        amqpUrl,
        databaseUrl: database.url,
        folder: bench.folder,
        settings: { RAW_RETENTION_DAYS: '0' },
      }),
    ],
  })
  return eventsPerSecond
}

async function measureThroughput(
  bench: Bench,
  service: RunningProcess,
  { serverPid }: BenchDatabase,
): Promise<Throughput> {
  const cpu = () => cpuSeconds(service.pid) + (serverPid === undefined ? 0 : cpuSeconds(serverPid))
  const before = cpu()
  const { requestsPerSecond, tookMs } = await load({
    nextUrl: () => service.url + ROUTES[0]!.nextPath(),
    headers: { 'x-internal-api-key': API_KEY },
    connections: MANY_CONNECTIONS,
    seconds: secondsOf(bench) * 2,
  })
  return { requestsPerSecond, requestsPerCpuSecond: tookMs.length / (cpu() - before) }
}

function routesTable({ name, rows, smallRows, routes, busyEventsPerSecond }: EngineReads): string {
  const head = [
    name,
    `${thousands(smallRows)} views: p50`,
    'p99',
    `${thousands(rows)} views: p50`,
    'p99',
    'p99, times',
    `counting ${thousands(busyEventsPerSecond)} events/s: p50`,
    'p99',
    'p99, times',
    'another counts them: p99',
    'p99, times that',
  ]
  return table(
    head,
    routes.map(({ route, small, big, busy, besideOther }) => [
      route,
      milliseconds(small.p50Ms),
      milliseconds(small.p99Ms),
      milliseconds(big.p50Ms),
      milliseconds(big.p99Ms),
      decimal(big.p99Ms / small.p99Ms),
      milliseconds(busy.p50Ms),
      milliseconds(busy.p99Ms),
      decimal(busy.p99Ms / big.p99Ms),
      milliseconds(besideOther.p99Ms),
      decimal(busy.p99Ms / besideOther.p99Ms),
    ]),
  )
}

function throughputTable(engines: readonly EngineReads[]): string {
  return table(
    [`/views, ${MANY_CONNECTIONS} connections`, 'answers/s', 'answers per CPU second'],
    engines.map(({ name, throughput }) => [
      name,
      thousands(throughput.requestsPerSecond),
      thousands(throughput.requestsPerCpuSecond),
    ]),
  )
}
