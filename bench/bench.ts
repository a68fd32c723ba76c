/** What a part of the benchmark has to do with: private servers, a folder of its own, and somewhere to say how it goes. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createProgressBar } from '../packages/analytics/src/progress.ts'
import { type Clickhouse, startClickhouse } from '../tools/stack/clickhouse.ts'
import { ensureClickhouse } from '../tools/stack/clickhouse-install.ts'
import { ensureInstalled } from '../tools/stack/install.ts'
import { type Mysql, startMysql } from '../tools/stack/mysql.ts'
import { type Postgres, startPostgres } from '../tools/stack/postgres.ts'
import { type Rabbitmq, startRabbitmq } from '../tools/stack/rabbitmq.ts'
import { ensureParts } from '../tools/stack/stack-install.ts'
import { chosenStack, type Stack, stackNamed } from '../tools/stack/stacks.ts'
import { type BenchEngine, clickhouseEngine, mysqlEngine, sqliteEngine } from './databases.ts'

export interface BenchOptions {
  /** Smaller and fewer: for a first impression. */
  quick: boolean
  /** How often each contender has its turn. */
  rounds: number
  /** Raw rows of a big store. */
  rows: number
  /** Where big stores are kept, and found again by a later run; temporary if absent. */
  stores?: string
}

export interface Bench extends BenchOptions {
  /** Temporary. */
  folder: string
  stores: string
  /** Started at the first asking. */
  broker(): Promise<Rabbitmq>
  /** Started at the first asking for these arguments; the server's default settings without any. */
  mariadb(...args: string[]): Promise<Mysql>
  /** The same, of the stack of that name. */
  serverOf(stack: string, ...args: string[]): Promise<Mysql>
  /** Another one, on data that are kept in a folder. */
  mariadbIn(folder: string, args: readonly string[]): Promise<Mysql>
  /** Started at the first asking; undefined where it cannot be installed. */
  postgres(): Promise<Postgres | undefined>
  /** Started at the first asking; undefined where there is none for this machine. */
  clickhouse(): Promise<Clickhouse | undefined>
  /** A line that stays. */
  say(line: string): void
  /** What is being done now: a bar on a terminal, nothing elsewhere. */
  progress(step: string, done: number, total: number): void
  /** Ends and removes all of it. */
  end(): Promise<void>
}

export function createBench(options: BenchOptions): Bench {
  const folder = mkdtempSync(join(tmpdir(), 'postviews-bench-'))
  const bar = createProgressBar()
  const stops: (() => Promise<void>)[] = [async () => rmSync(folder, { recursive: true })]
  const say = (line: string) => {
    bar.end()
    console.log(line)
  }

  let broker: Promise<Rabbitmq> | undefined
  let postgres: Promise<Postgres | undefined> | undefined
  let clickhouse: Promise<Clickhouse | undefined> | undefined
  const servers = new Map<string, Promise<Mysql>>()
  const start = async <T extends { stop(): Promise<void> }>(starting: () => Promise<T>): Promise<T> => {
    const server = await starting()
    stops.push(() => server.stop())
    return server
  }
  const serverOf = (stack: Stack | null, args: string[]): Promise<Mysql> => {
    const key = [stack?.name, ...args].join(' ')
    let server = servers.get(key)
    if (server === undefined) {
      server = start(async () => {
        await ensureParts(['mariadb'], stack, say)
        return startMysql({ args, stack })
      })
      servers.set(key, server)
    }
    return server
  }

  return {
    ...options,
    folder,
    stores: resolve(options.stores ?? join(folder, 'stores')),
    say,
    progress: bar.progress,
    broker() {
      broker ??= start(async () => {
        await ensureParts(['rabbitmq'], chosenStack(), say)
        return startRabbitmq()
      })
      return broker
    },
    mariadb: (...args) => serverOf(chosenStack(), args),
    serverOf: (stack, ...args) => serverOf(stackNamed(stack), args),
    postgres() {
      postgres ??= start(async () => {
        await ensureInstalled(['postgres'], say)
        return startPostgres()
      }).catch(error => {
        say(`without PostgreSQL: ${error.message}`)
        return undefined
      })
      return postgres
    },
    clickhouse() {
      clickhouse ??= start(async () => {
        await ensureClickhouse(say)
        return startClickhouse()
      }).catch(error => {
        say(`without ClickHouse: ${error.message}`)
        return undefined
      })
      return clickhouse
    },
    async mariadbIn(dir, args) {
      await ensureParts(['mariadb'], chosenStack(), say)
      const server = await startMysql({ dir, args: [...args] })
      stops.push(() => server.stop({ keep: true }))
      return server
    },
    async end() {
      bar.end()
      // A server that is still starting is stopped too.
      await Promise.allSettled([broker, postgres, clickhouse, ...servers.values()])
      while (stops.length > 0) await stops.pop()!()
    },
  }
}

/** All there are, on servers with their default settings. */
export async function benchEngines(bench: Bench): Promise<BenchEngine[]> {
  const clickhouse = await bench.clickhouse()
  return [
    sqliteEngine(bench.folder),
    mysqlEngine(await bench.mariadb()),
    ...(clickhouse === undefined ? [] : [clickhouseEngine(clickhouse)]),
  ]
}
