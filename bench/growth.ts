/** What a view costs in a store that has grown, and at the end of a long queue. */

import { runBacklog } from './backlog.ts'
import type { Bench } from './bench.ts'
import { BIG_DAYS, BIG_POOL, BIG_POSTS, type BigStore, bigMariadb, bigSqlite } from './big-store.ts'
import { lineChart } from './charts.ts'
import type { Filled } from './contenders/fill.ts'
import {
  type BenchDatabase,
  type BenchEngine,
  expectedViews,
  mysqlEngine,
  sqliteEngine,
  withDatabase,
} from './databases.ts'
import { grouped, makeEvents } from './events.ts'
import { BACKLOG_KINDS, type LongBacklog, longBacklog } from './long-backlog.ts'
import { type Summary, summarize } from './measure.ts'
import { part } from './part.ts'
import { startService } from './processes.ts'
import { ratios, takeTurns } from './rounds.ts'
import { decimal, megabytes, table, thousands, withRange } from './tables.ts'

const EVENTS = { full: 200_000, quick: 50_000 }
const ROUNDS = 3
/** The backlog has a tenth of the big store's rows: a million when it has ten. */
const BACKLOG_SHARE = 10

interface StoreGrowth {
  title: string
  rows: number
  emptyEventsPerSecond: number[]
  bigEventsPerSecond: number[]
  filled: Filled[]
}

/** How many pages of the server's buffer pool an index uses. The server would need a larger pool. */
interface PoolShare {
  /** `table.index`. */
  index: string
  pages: number
  /** Pages of them that were changed and not written yet. */
  changed: number
}

interface GrowthMeasured {
  posts: number
  days: number
  stores: StoreGrowth[]
  /** The default pool while views were counted into the big store, greatest first. */
  pool: PoolShare[]
  backlogs: LongBacklog[]
}

export const GROWTH = part<GrowthMeasured>({
  name: 'growth',
  help: 'what an event costs in a big store beside an empty one, and at the end of a long queue',

  async measure(bench) {
    const stores: StoreGrowth[] = []
    let pool: PoolShare[] = []
    stores.push(await measureStore(bench, 'SQLite', await sqliteStores(bench)))
    for (const { title, args } of MARIADBS) {
      const { big, empty, stop } = await mariadbStores(bench, args)
      try {
        stores.push(await measureStore(bench, title, { big, empty }))
        if (args.length === 0) pool = await poolShares(big)
      } finally {
        await stop()
      }
    }
    const backlogs: LongBacklog[] = []
    const engines = [sqliteEngine(bench.folder), mysqlEngine(await bench.mariadb())]
    for (const engine of engines) {
      for (const kind of BACKLOG_KINDS)
        backlogs.push(await longBacklog(bench, engine, kind, Math.floor(bench.rows / BACKLOG_SHARE)))
    }
    return { posts: BIG_POSTS, days: BIG_DAYS, stores, pool, backlogs }
  },

  show: ({ stores, pool, backlogs }) => ({
    tables: {
      growth: storesTable(stores),
      'growth-pool': poolTable(pool),
      'growth-backlog': backlogsTable(backlogs),
    },
    figures: {
      'growth.svg': lineChart({
        title: 'Events counted a second while a store grows',
        xLabel: 'million rows in the store',
        yLabel: 'events/s',
        xFormat: decimal,
        yFormat: thousands,
        // All MariaDB servers use the same data, which were filled once: by the first server.
        points: stores.slice(0, 2).flatMap(({ title, filled }) =>
          tenths(filled).map(({ rows, eventsPerSecond }) => ({
            x: rows / 1e6,
            y: eventsPerSecond,
            series: title,
          })),
        ),
      }),
      'growth-backlog.svg': lineChart({
        title: 'Events counted a second while a long queue is emptied',
        xLabel: 'counted, in hundredths of the queue',
        yLabel: 'events/s',
        xFormat: thousands,
        yFormat: thousands,
        points: backlogs.flatMap(({ title, deciles }) =>
          deciles.map((eventsPerSecond, index) => ({
            x: (index + 1) * 10,
            y: eventsPerSecond,
            series: title,
          })),
        ),
      }),
    },
  }),
})

const MARIADBS = [
  { title: 'MariaDB, pool of 4 GB', args: BIG_POOL },
  { title: 'MariaDB, default pool of 128 MB', args: [] },
] as const

interface Stores {
  big: BenchDatabase & BigStore
  /** Creates empty databases. */
  empty: BenchEngine
}

async function sqliteStores(bench: Bench): Promise<Stores> {
  return { big: await bigSqlite(bench, bench.rows), empty: sqliteEngine(bench.folder) }
}

async function mariadbStores(
  bench: Bench,
  args: readonly string[],
): Promise<Stores & { stop(): Promise<void> }> {
  const big = await bigMariadb(bench, bench.rows, args)
  // On its own server with the same settings, so that neither profits from the other's buffer pool.
  const empty = mysqlEngine(await bench.mariadb(...args))
  return { big, empty, stop: big.stop }
}

/** The same events go into the big store and into an empty one, in turn. */
async function measureStore(bench: Bench, title: string, { big, empty }: Stores): Promise<StoreGrowth> {
  const { rows, filled } = big
  // Reads the data from disk once; what fits stays in memory.
  await drainInto(bench, big, false, 'warm')
  const rounds = Math.min(bench.rounds, ROUNDS)
  let turn = 0
  const measured = await takeTurns(
    { ...bench, rounds },
    [
      {
        name: 'empty',
        title: `${title}, empty store`,
        run: () => withDatabase(empty, database => drainInto(bench, database, true, `turn ${++turn}`)),
      },
      {
        name: 'big',
        title: `${title}, ${thousands(rows)} rows`,
        run: () => drainInto(bench, big, false, `turn ${++turn}`),
      },
    ],
    eventsPerSecond => `${thousands(eventsPerSecond)} events/s`,
  )
  return {
    title,
    rows,
    emptyEventsPerSecond: measured.get('empty')!,
    bigEventsPerSecond: measured.get('big')!,
    filled,
  }
}

/** @returns events per second. @throws {Error} when the counts are wrong; for a store that held other views, the metric decides */
async function drainInto(
  bench: Bench,
  database: BenchDatabase,
  isEmpty: boolean,
  seed: string,
): Promise<number> {
  const events = makeEvents({
    seed,
    count: bench.quick ? EVENTS.quick : EVENTS.full,
    untilMs: Date.now(),
    posts: BIG_POSTS,
  })
  const { eventsPerSecond, wrong } = await runBacklog(bench, {
    total: events.length,
    messages: grouped(events),
    counts: { database, expected: isEmpty ? expectedViews(events) : null },
    // The ten million rows span a year, and must stay.
    start: async amqpUrl => [
      await startService({
        amqpUrl,
        databaseUrl: database.url,
        folder: bench.folder,
        settings: { RAW_RETENTION_DAYS: '0' },
      }),
    ],
  })
  if (wrong !== null) throw new Error(wrong)
  return eventsPerSecond
}

function storesTable(stores: readonly StoreGrowth[]): string {
  return table(
    ['', 'rows', 'events/s, empty store', 'events/s, with these rows', 'times the cost', 'at most'],
    stores.map(({ title, rows, emptyEventsPerSecond, bigEventsPerSecond }) => [
      title,
      thousands(rows),
      withRange(summarize(emptyEventsPerSecond), thousands),
      withRange(summarize(bigEventsPerSecond), thousands),
      withRange(ratios(emptyEventsPerSecond, bigEventsPerSecond), decimal),
      MOST[title] ?? 'reported',
    ]),
  )
}

const POOL_SHARES = 8

async function poolShares(database: BenchDatabase): Promise<PoolShare[]> {
  const rows = await database.query(
    `SELECT CONCAT(table_name, '.', index_name) AS name, COUNT(*) AS pages, SUM(oldest_modification > 0) AS changed
     FROM information_schema.innodb_buffer_page
     WHERE table_name IS NOT NULL
     GROUP BY table_name, index_name
     ORDER BY pages DESC
     LIMIT ${POOL_SHARES}`,
  )
  return rows.map(({ name, pages, changed }) => ({
    // `big`.`post_views`.idx_post_uuid
    index: String(name).replace(/^.*?\.`?(\w+)`?\./, '$1.'),
    pages: Number(pages),
    changed: Number(changed),
  }))
}

function poolTable(pool: readonly PoolShare[]): string {
  return table(
    ['in the default pool of 128 MB', 'pages of 16 KiB', 'changed, not written yet'],
    pool.map(({ index, pages, changed }) => [index, thousands(pages), thousands(changed)]),
  )
}

/** The limit of the cost. The default pool is too small for such a store, so its figure has no limit. */
const MOST: Readonly<Record<string, string>> = { SQLite: '1.5', 'MariaDB, pool of 4 GB': '1.6' }

function backlogsTable(backlogs: readonly LongBacklog[]): string {
  return table(
    [
      'a long queue',
      'events',
      'events/s, first tenth',
      'last tenth',
      'slowest',
      'memory at 10 %',
      'at 90 %',
      'at most',
    ],
    backlogs.map(({ title, events, deciles, residentAt10, residentAt90, peakResident }) => [
      title,
      thousands(events),
      thousands(deciles[0]!),
      thousands(deciles.at(-1)!),
      thousands(Math.min(...deciles)),
      megabytes(residentAt10),
      megabytes(residentAt90),
      megabytes(peakResident),
    ]),
  )
}

/** Reduces the samples to ten points, which are enough for a line. */
function tenths(filled: readonly Filled[]): Filled[] {
  const size = Math.max(1, Math.ceil(filled.length / 10))
  return Array.from({ length: Math.ceil(filled.length / size) }, (_, at) => {
    const some = filled.slice(at * size, (at + 1) * size)
    const { median }: Summary = summarize(some.map(({ eventsPerSecond }) => eventsPerSecond))
    return { rows: some.at(-1)!.rows, eventsPerSecond: median }
  })
}
