/** The contenders of the ingest part, and what each does in a turn. */

import { POST_VIEW_AGGREGATES, POST_VIEWS } from '../test/support/article-sql.ts'
import { runBacklog } from './backlog.ts'
import { type Bench, benchEngines } from './bench.ts'
import type { BareInserted, BareInsertOptions } from './contenders/bare-insert.ts'
import type { NothingOptions } from './contenders/nothing.ts'
import type { OneByOneOptions } from './contenders/one-by-one.ts'
import {
  type BenchDatabase,
  type BenchEngine,
  expectedViews,
  postgresEngine,
  withDatabase,
} from './databases.ts'
import {
  type BenchEvent,
  type BenchMessage,
  type EventsOptions,
  grouped,
  makeEvents,
  oneByOne,
} from './events.ts'
import { untilCalm } from './measure.ts'
import {
  type ProcessOptions,
  postviews,
  type RunningProcess,
  runContender,
  startProcess,
  startService,
} from './processes.ts'
import type { Turn } from './rounds.ts'

/** One turn of one contender. */
export interface IngestRun {
  events: number
  eventsPerSecond: number
  cpuMsPer1000: Record<string, number>
  /** Why the figure is void; null when the counts are right. */
  wrong: string | null
}

/** Numbers of events that make each turn last several seconds on two cores. */
const EVENTS = {
  full: { nothing: 400_000, oneByOne: 8_000, single: 150_000, grouped: 300_000, nothingGrouped: 1_500_000 },
  quick: { nothing: 80_000, oneByOne: 2_000, single: 30_000, grouped: 60_000, nothingGrouped: 400_000 },
}

/** The prefetch that our consumer settles at: two batches of 5,000 events, in messages of one or of a hundred. */
const PREFETCH = { single: 10_000, grouped: 100 }
/** 500 events. */
const NOTHING_ACKS_EVERY = { single: 500, grouped: 5 }
const GROUP = 100

export async function ingestTurns(bench: Bench): Promise<Turn<IngestRun>[]> {
  const engines = await benchEngines(bench)
  const [sqlite, mariadb, clickhouse] = [engines[0]!, engines[1]!, engines[2]]
  const server = await bench.postgres()
  const postgres = server && postgresEngine(server)
  const counts = bench.quick ? EVENTS.quick : EVENTS.full
  const source: EventsOptions = {
    seed: 'bench',
    count: Math.max(counts.single, counts.grouped),
    untilMs: Date.now(),
  }
  const events = makeEvents(source)

  const nothing = (name: string, title: string, group: 'single' | 'grouped', count: number) => {
    const eventsPerMessage = group === 'single' ? 1 : GROUP
    const turn = async () => {
      const pool = events.slice(0, counts.single)
      const once = group === 'single' ? oneByOne(pool) : grouped(pool)
      // This contender does not read the messages, so they may repeat.
      const messages = Array.from({ length: count / eventsPerMessage }, (_, at) => once[at % once.length]!)
      const argument: Omit<NothingOptions, 'amqpUrl'> = {
        messages: messages.length,
        eventsPerMessage,
        prefetchMessages: PREFETCH[group],
        ackEveryMessages: NOTHING_ACKS_EVERY[group],
      }
      const start = async (amqpUrl: string) => [await contender(bench, 'nothing', { ...argument, amqpUrl })]
      return runBacklog(bench, { total: count, messages, counts: null, start })
    }
    return { name, title, run: turn }
  }

  const ours = (engine: BenchEngine, group: 'single' | 'grouped'): Turn<IngestRun> => ({
    name: `${engine.name.toLowerCase()}-${group}`,
    title: `postviews on ${engine.name}, ${group === 'single' ? 'one event a message' : 'grouped'}`,
    run: () => {
      const some = events.slice(0, counts[group])
      return runService(bench, engine, some, group === 'single' ? oneByOne(some) : grouped(some))
    },
  })

  const articleWay: Turn<IngestRun> = {
    name: 'one-by-one',
    title: 'the article’s way on MariaDB',
    run: () =>
      withDatabase(mariadb, async database => {
        await database.query(POST_VIEWS, POST_VIEW_AGGREGATES)
        const some = events.slice(0, counts.oneByOne)
        const argument: Omit<OneByOneOptions, 'amqpUrl'> = {
          databaseUrl: database.url,
          prefetchMessages: PREFETCH.single,
        }
        const start = async (amqpUrl: string) => [
          await contender(bench, 'one-by-one', { ...argument, amqpUrl }),
        ]
        return runBacklog(bench, {
          total: some.length,
          messages: oneByOne(some),
          counts: { database, expected: expectedViews(some) },
          start,
        })
      }),
  }

  const bare = (engine: BenchEngine, rowsPerTransaction: number): Turn<IngestRun> => ({
    name: `bare-${engine.name.toLowerCase()}-${rowsPerTransaction}`,
    title: `bare insert into ${engine.name}, ${rowsPerTransaction.toLocaleString('en')} rows a transaction`,
    run: () =>
      withDatabase(engine, database =>
        runBareInsert(bench, database, rowsPerTransaction, { ...source, count: counts.grouped }),
      ),
  })

  return [
    nothing('nothing-single', 'nothing, one event a message', 'single', counts.nothing),
    articleWay,
    ours(sqlite, 'single'),
    ours(mariadb, 'single'),
    nothing('nothing-grouped', 'nothing, grouped', 'grouped', counts.nothingGrouped),
    ours(sqlite, 'grouped'),
    bare(sqlite, 2_000),
    bare(sqlite, 5_000),
    ours(mariadb, 'grouped'),
    bare(mariadb, 2_000),
    bare(mariadb, 5_000),
    ...(postgres === undefined
      ? []
      : [ours(postgres, 'single'), ours(postgres, 'grouped'), bare(postgres, 2_000), bare(postgres, 5_000)]),
    ...(clickhouse === undefined
      ? []
      : [
          ours(clickhouse, 'single'),
          ours(clickhouse, 'grouped'),
          bare(clickhouse, 2_000),
          bare(clickhouse, 5_000),
        ]),
  ]
}

/** One turn of the service, on a new database. */
export function runService(
  bench: Bench,
  engine: BenchEngine,
  events: readonly BenchEvent[],
  messages: readonly BenchMessage[],
): Promise<IngestRun> {
  return withDatabase(engine, async database => {
    const start = async (amqpUrl: string) => [
      await startService({ amqpUrl, databaseUrl: database.url, folder: bench.folder }),
    ]
    const counts = { database, expected: expectedViews(events) }
    return runBacklog(bench, { total: events.length, messages, counts, start })
  })
}

function contender(
  bench: Bench,
  name: 'nothing' | 'one-by-one',
  argument: NothingOptions | OneByOneOptions,
): Promise<RunningProcess> {
  const command: ProcessOptions['command'] = [`bench/contenders/${name}.ts`, JSON.stringify(argument)]
  return startProcess({ name, command, ready: '/metrics', folder: bench.folder })
}

async function runBareInsert(
  bench: Bench,
  database: BenchDatabase,
  rowsPerTransaction: number,
  events: EventsOptions,
): Promise<IngestRun> {
  const { folder } = bench
  const { url: databaseUrl, serverPid } = database
  await postviews({ amqpUrl: 'amqp://127.0.0.1', databaseUrl, folder }, 'migrate')
  if (serverPid !== undefined) await untilCalm([serverPid])
  const argument: BareInsertOptions = {
    databaseUrl,
    rowsPerTransaction,
    events,
    ...(serverPid !== undefined && { databasePid: serverPid }),
  }
  const inserted = await runContender<BareInserted>('bare-insert', argument, folder)
  const { eventsPerSecond, cpuMsPer1000 } = inserted
  const [found] = await database.query(`SELECT COUNT(*) AS views FROM ${database.bareTable}`)
  const wrong = Number(found!['views']) === events.count ? null : `${found!['views']} rows`
  return { events: events.count, eventsPerSecond, cpuMsPer1000, wrong }
}
