/** The servers of a ClickHouse, one of each shard, and SQL over one of them or all. */

import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import {
  type ClickHouseClient,
  ClickHouseLogLevel,
  type ClickHouseSettings,
  createClient,
} from '@clickhouse/client'
import { StoreRefused, StoreUnavailable } from '../store.ts'
import type { Address } from './address.ts'
import { storeError } from './errors.ts'

export type Row = Record<string, unknown>
export type Params = Record<string, string | number | readonly string[]>

const BATCH_LIMIT_MS = 30_000
// Recounting a big day, or rewriting the rows of one, takes what it takes.
const LONG_LIMIT_MS = 3_600_000
const CLOSE_LIMIT_MS = 3_000
/** More than any batch has, so that a batch is one block, and so one part: there whole, or not at all. */
const ONE_BLOCK_ROWS = 10_000_000
const ONE_BLOCK_BYTES = 4_000_000_000

const SETTINGS: ClickHouseSettings = {
  // An insert is answered when it is on the disk, and an error that comes late is told as one.
  async_insert: 0,
  wait_end_of_query: 1,
  // Nothing here leans on the server's memory of inserts.
  insert_deduplicate: 0,
  max_insert_block_size: String(ONE_BLOCK_ROWS),
  min_insert_block_size_rows: String(ONE_BLOCK_ROWS),
  min_insert_block_size_bytes: String(ONE_BLOCK_BYTES),
  input_format_parallel_parsing: 0,
  max_partitions_per_insert_block: '0',
  max_query_size: '10000000',
  // A number that lacks a shard is not a number.
  skip_unavailable_shards: 0,
  distributed_product_mode: 'global',
  // The partition is part of each key, so two versions of a row meet there.
  do_not_merge_across_partitions_select_final: 1,
  output_format_json_quote_64bit_integers: 0,
  // What a server's own profile may have otherwise, and would change a number.
  join_use_nulls: 0,
  aggregate_functions_null_for_empty: 0,
  prefer_column_name_to_alias: 0,
}

/** A day of a big site has more readers than fit into the memory of a small server. */
const RECOUNT_SETTINGS: ClickHouseSettings = {
  min_insert_block_size_rows: '1000000',
  min_insert_block_size_bytes: '250000000',
  max_bytes_before_external_group_by: '1000000000',
  max_bytes_before_external_sort: '1000000000',
}

export class Shard {
  /** As the cluster counts them, from 1. */
  readonly number: number
  readonly database: string
  readonly #server: string
  readonly #client: ClickHouseClient

  /** @param server `HOST:PORT` */
  constructor(number: number, server: string, database: string, client: ClickHouseClient) {
    this.number = number
    this.database = database
    this.#server = server
    this.#client = client
  }

  all(sql: string, params: Params = {}): Promise<Row[]> {
    return this.#asking(sql, async () => {
      const result = await this.#client.query({ query: sql, query_params: params, format: 'JSONEachRow' })
      return result.json<Row>()
    })
  }

  run(sql: string, params: Params = {}): Promise<void> {
    return this.#asking(sql, async () => {
      await this.#client.command({ query: sql, query_params: params })
    })
  }

  /** One insert. `lines`: a JSON array of values for each row, in the order of the columns. */
  insert(table: string, columns: string, lines: string): Promise<void> {
    return this.#send(`INSERT INTO ${table} (${columns}) FORMAT JSONCompactEachRow`, lines, false)
  }

  /** An insert of views, whose values may be what is wrong. */
  send(query: string, lines: string): Promise<void> {
    return this.#send(query, lines, true)
  }

  #send(query: string, lines: string, ofViews: boolean): Promise<void> {
    const insert = async () => {
      const { stream } = await this.#client.exec({
        query,
        values: Readable.from([Buffer.from(lines)], { objectMode: false }),
      })
      // The answer is empty; read to its end, the connection is free for the next.
      await finished(stream.resume())
    }
    return this.#asking(query, insert, ofViews)
  }

  async #asking<T>(sql: string, ask: () => Promise<T>, ofViews = false): Promise<T> {
    try {
      return await ask()
    } catch (error) {
      throw storeError(error, { server: this.#server, database: this.database, sql, ofViews })
    }
  }
}

/**
 * All shards, in the order of their numbers. Found out at the first question, and again until that succeeds: the servers
 * may be away when a process starts.
 */
export class Cluster {
  readonly #address: Address
  readonly #clients: ClickHouseClient[]
  readonly #longLimit: boolean
  #shards: Promise<Shard[]> | undefined
  readonly #underWay = new Set<Promise<unknown>>()
  #isClosed = false

  constructor(address: Address, { long = false }: { long?: boolean } = {}) {
    this.#address = address
    this.#longLimit = long
    this.#clients = address.origins.map(origin => this.#clientOf(origin))
  }

  /** @throws {StoreRefused} when the hosts of the URL are not one of each shard, or a shard has several */
  shards(): Promise<Shard[]> {
    this.#shards ??= this.#find().catch(error => {
      this.#shards = undefined
      throw error
    })
    return this.#shards
  }

  /** The one that keeps what all processes must agree on. */
  async first(): Promise<Shard> {
    return (await this.shards())[0]!
  }

  /** Runs one SELECT that may read from all shards. */
  async all(sql: string, params?: Params): Promise<Row[]> {
    return (await this.first()).all(sql, params)
  }

  /** The rows of a SELECT on every shard, as the source of another. */
  from(select: string): string {
    return overAll(select, this.#address)
  }

  get address(): Address {
    return this.#address
  }

  /** Lets what is under way end, but not for long; whatever comes later is refused. */
  async close(): Promise<void> {
    this.#isClosed = true
    let timer: NodeJS.Timeout | undefined
    const limit = new Promise(resolve => {
      timer = setTimeout(resolve, CLOSE_LIMIT_MS)
    })
    await Promise.race([Promise.allSettled(this.#underWay), limit])
    clearTimeout(timer)
    await Promise.all(this.#clients.map(client => client.close()))
  }

  /** Takes part in what `close` waits for, with all the questions it asks. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new StoreUnavailable('ClickHouse: the store is closed')
    const working = work()
    this.#underWay.add(working)
    try {
      return await working
    } finally {
      this.#underWay.delete(working)
    }
  }

  #clientOf(origin: string): ClickHouseClient {
    const { user, password, database } = this.#address
    const limitMs = this.#longLimit ? LONG_LIMIT_MS : BATCH_LIMIT_MS
    return createClient({
      url: origin,
      username: user,
      password,
      database,
      application: 'postviews',
      request_timeout: limitMs,
      max_open_connections: 16,
      keep_alive: { eagerly_destroy_stale_sockets: true },
      clickhouse_settings: {
        ...SETTINGS,
        ...(this.#longLimit ? RECOUNT_SETTINGS : {}),
        max_execution_time: limitMs / 1_000,
      },
      // What goes wrong is told by whoever asked.
      log: { level: ClickHouseLogLevel.OFF },
    })
  }

  async #find(): Promise<Shard[]> {
    const { cluster, database, origins } = this.#address
    const servers = origins.map(origin => new URL(origin).host)
    const found = this.#clients.map((client, index) => new Shard(1, servers[index]!, database, client))
    if (cluster === null) return found
    const shards = await Promise.all(
      found.map(
        async (shard, index) =>
          new Shard(await numberOf(shard, cluster), servers[index]!, database, this.#clients[index]!),
      ),
    )
    shards.sort((a, b) => a.number - b.number)
    const rows = await found[0]!.all(
      `SELECT shard_num, count() AS replicas FROM system.clusters WHERE cluster = {cluster:String}
       GROUP BY shard_num ORDER BY shard_num`,
      { cluster },
    )
    const replicated = rows.find(row => Number(row['replicas']) > 1)
    // Servers would ask any of them, and the tables are on one.
    if (replicated !== undefined) {
      throw new StoreRefused(
        `shard ${replicated['shard_num']} of the cluster ${cluster} has ${replicated['replicas']} replicas: name a cluster in \`remote_servers\` that has one host of each shard`,
      )
    }
    const numbers = rows.map(row => Number(row['shard_num']))
    const missing = numbers.filter(number => !shards.some(shard => shard.number === number))
    if (missing.length > 0) {
      throw new StoreRefused(`the URL names no host of shard ${missing.join(', ')} of the cluster ${cluster}`)
    }
    const twice = shards.find((shard, index) => shards[index + 1]?.number === shard.number)
    if (twice !== undefined) {
      throw new StoreRefused(`the URL names several hosts of shard ${twice.number} of the cluster ${cluster}`)
    }
    return shards
  }
}

async function numberOf(shard: Shard, cluster: string): Promise<number> {
  const [row] = await shard.all(
    'SELECT shard_num FROM system.clusters WHERE cluster = {cluster:String} AND is_local',
    { cluster },
  )
  if (row === undefined) throw new StoreRefused(`a host of the URL does not belong to the cluster ${cluster}`)
  return Number(row['shard_num'])
}

// Servers ask each other in a database of their own choice, so tables are named in full.
const LOCAL_TABLES = /\bpost_view_(?:rows|names|days|post_totals|site_days|bases|copied)\b/g

/** See `Cluster.from`. */
export function overAll(select: string, { cluster, database }: Address): string {
  const named = select.replace(LOCAL_TABLES, table => `${database}.${table}`)
  return cluster === null ? `(${named})` : `cluster('${cluster}', view(${named}))`
}
