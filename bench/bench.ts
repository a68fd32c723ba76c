/** What a part of the benchmark gets: private servers, its own folder, and a way to report progress. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createProgressBar } from '../packages/analytics/src/progress.ts'
import { type Clickhouse, startClickhouse } from '../tools/stack/clickhouse.ts'
import { ensureClickhouse } from '../tools/stack/clickhouse-install.ts'
import { type Mysql, startMysql } from '../tools/stack/mysql.ts'
import { type Postgres, startPostgres } from '../tools/stack/postgres.ts'
import { type Rabbitmq, startRabbitmq } from '../tools/stack/rabbitmq.ts'
import { ensureParts } from '../tools/stack/stack-install.ts'
import { chosenStack, type Stack, stackNamed } from '../tools/stack/stacks.ts'
import { type BenchEngine, clickhouseEngine, mysqlEngine, sqliteEngine } from './databases.ts'

export interface BenchOptions {
  /** Fewer events, for a first impression. */
  quick: boolean
  /** The number of turns for each contender. */
  rounds: number
  /** Raw rows in a big store. */
  rows: number
  /** The folder that keeps big stores for later runs; absent: they are temporary. */
  stores?: string
}

export interface Bench extends BenchOptions {
  /** Removed at the end. */
  folder: string
  stores: string
  /** Started at the first call. */
  broker(): Promise<Rabbitmq>
  /** Started at the first call with these arguments; without any, it has the server's default settings. */
  mariadb(...args: string[]): Promise<Mysql>
  /** The same, from the named stack. */
  serverOf(stack: string, ...args: string[]): Promise<Mysql>
  /** Another server, on data that are kept in a folder. */
  mariadbIn(folder: string, args: readonly string[]): Promise<Mysql>
  /** Started at the first call; undefined where it cannot be installed. */
  postgres(): Promise<Postgres | undefined>
  /** Started at the first call; undefined where there is none for this machine. */
  clickhouse(): Promise<Clickhouse | undefined>
  /** Prints a line that stays. */
  say(line: string): void
  /** Shows the current step: a progress bar on a terminal, nothing elsewhere. */
  progress(step: string, done: number, total: number): void
  /** Stops all servers and removes their files. */
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
        await ensureParts(['postgres'], chosenStack(), say)
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
      // Also stops a server that is still starting.
      await Promise.allSettled([broker, postgres, clickhouse, ...servers.values()])
      while (stops.length > 0) await stops.pop()!()
    },
  }
}

/** All engines that can run here, on servers with their default settings. */
export async function benchEngines(bench: Bench): Promise<BenchEngine[]> {
  const clickhouse = await bench.clickhouse()
  return [
    sqliteEngine(bench.folder),
    mysqlEngine(await bench.mariadb()),
    ...(clickhouse === undefined ? [] : [clickhouseEngine(clickhouse)]),
  ]
}
