/** ClickHouse for the store's contract: its servers, and the parts of the contract that differ. */

import { after } from 'node:test'
import {
  type Clickhouse,
  type ClickhouseCluster,
  startClickhouseCluster,
} from '../../tools/stack/clickhouse.ts'
import type { ContractEngine } from '../store-contract-database.ts'
import { CLICKHOUSE_COUNTERS, damageClickhouse, keptInClickhouse } from './clickhouse-damage.ts'
import { unix } from './views.ts'

type Row = Record<string, unknown>

/** A cluster for one test file, started when first used. */
export function ownCluster(shards: number): () => Promise<ClickhouseCluster> {
  let started: Promise<ClickhouseCluster> | undefined
  after(async () => (await started)?.stop())
  return () => {
    // For so few rows, one thread is faster than several.
    started ??= startClickhouseCluster({ shards, profile: { max_threads: '1' } })
    return started
  }
}

/** The `DATABASE_URL` of a database; without a cluster if there is only one server. */
export function clickhouseUrl({ shards }: ClickhouseCluster, database: string): string {
  const hosts = shards.map(({ port }) => `127.0.0.1:${port}`).join(',')
  return `clickhouse://${hosts}/${database}${shards.length > 1 ? '?cluster=postviews' : ''}`
}

/** Runs one statement in a database of a shard. */
export async function queryShard(
  { httpUrl }: Pick<Clickhouse, 'httpUrl'>,
  database: string,
  sql: string,
): Promise<Row[]> {
  const settings = new URLSearchParams({
    database,
    default_format: 'JSONEachRow',
    wait_end_of_query: '1',
    mutations_sync: '2',
    async_insert: '0',
    output_format_json_quote_64bit_integers: '0',
  })
  // A connection from before the server was killed would fail the next statement.
  const headers = { connection: 'close' }
  const response = await fetch(`${httpUrl}/?${settings}`, { method: 'POST', headers, body: sql })
  const text = (await response.text()).trimEnd()
  if (!response.ok) throw new Error(`ClickHouse refuses ${sql.trim().slice(0, 80)}: ${text}`)
  return text === '' ? [] : text.split('\n').map(line => JSON.parse(line) as Row)
}

export function clickhouseEngine(shards: number): ContractEngine {
  const cluster = ownCluster(shards)
  return clickhouseContract(cluster, async database => clickhouseUrl(await cluster(), database))
}

/** @param urlOf the `DATABASE_URL` of a database */
export function clickhouseContract(
  cluster: () => Promise<ClickhouseCluster>,
  urlOf: (database: string) => Promise<string>,
): ContractEngine {
  /** One function per shard that runs a statement in the database. */
  async function runsOn(url: string) {
    const database = /\/(\w+)(?:\?|$)/.exec(url)![1]!
    return (await cluster()).shards.map(shard => (sql: string) => queryShard(shard, database, sql))
  }
  return {
    async create() {
      const running = await cluster()
      const database = await running.database()
      return {
        url: await urlOf(database),
        remove: async () => {
          await Promise.all(running.shards.map(shard => shard.query(`DROP DATABASE ${database}`)))
        },
      }
    },
    damage: async (url, damage) => damageClickhouse(await runsOn(url), damage),
    kept: url => keptInClickhouse(() => runsOn(url)),
    // ClickHouse's DateTime ends in 2106.
    unkeepable: { receivedAt: unix('2106-03-01T00:00:00Z') },
    counters: CLICKHOUSE_COUNTERS,
    countsByRows: true,
  }
}
