/** The servers of a ClickHouse, and SQL on one shard or on all. */

import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import {
  type ClickHouseClient,
  ClickHouseLogLevel,
  type ClickHouseSettings,
  createClient,
} from '@clickhouse/client'
import { StoreRefused, StoreUnavailable } from '../failures.ts'
import type { Address } from './address.ts'
import { isServers, storeError } from './errors.ts'

export type Row = Record<string, unknown>
export type Params = Record<string, string | number | readonly string[]>

const BATCH_LIMIT_MS = 30_000
// Recounting a big day, or rewriting its rows, may take long.
const LONG_LIMIT_MS = 3_600_000
const CLOSE_LIMIT_MS = 3_000
const QUORUM_LIMIT_MS = 20_000
const ASK_AGAIN_MS = 60_000

/** Errors of a replica that works but has lost Keeper or the other replicas. */
const CUT_OFF = new Set([
  225, // NO_ZOOKEEPER
  242, // TABLE_IS_READ_ONLY
  285, // TOO_FEW_LIVE_REPLICAS
  286, // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
  319, // UNKNOWN_STATUS_OF_INSERT
])
/** More than any batch has. So a batch is one block and one part: stored as a whole, or not at all. */
const ONE_BLOCK_ROWS = 10_000_000
const ONE_BLOCK_BYTES = 4_000_000_000

const SETTINGS: ClickHouseSettings = {
  // An insert is answered when it is on the disk, and a late error is reported as an error.
  async_insert: 0,
  wait_end_of_query: 1,
  // With replicas, an insert is answered when most of them have it on disk.
  insert_quorum: 'auto',
  insert_quorum_timeout: QUORUM_LIMIT_MS,
  // Nothing here relies on the server's deduplication of inserts.
  insert_deduplicate: 0,
  max_insert_block_size: String(ONE_BLOCK_ROWS),
  min_insert_block_size_rows: String(ONE_BLOCK_ROWS),
  min_insert_block_size_bytes: String(ONE_BLOCK_BYTES),
  input_format_parallel_parsing: 0,
  max_partitions_per_insert_block: '0',
  max_query_size: '10000000',
  // A sum that lacks a shard would be wrong.
  skip_unavailable_shards: 0,
  distributed_product_mode: 'global',
  // The partition is part of each key, so two versions of a row meet there.
  do_not_merge_across_partitions_select_final: 1,
  output_format_json_quote_64bit_integers: 0,
  // A server's profile may set these otherwise, which would change a number.
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

/** One of the servers that the URL names. */
export interface Server {
  /** `HOST:PORT`. */
  host: string
  client: ClickHouseClient
}

export interface ShardOptions {
  /** As the cluster counts them, from 1. */
  number: number
  database: string
  /** Its replicas that are known, at least one. One of them is asked. */
  servers: readonly Server[]
  isReplicated: boolean
  /** After a failure the next replica is asked: at once, or only when `Cluster` says so. */
  movesAtOnce: boolean
}

export class Shard {
  readonly #options: ShardOptions
  #asked = 0
  #isToMove = false

  constructor(options: ShardOptions) {
    this.#options = options
  }

  get number(): number {
    return this.#options.number
  }

  get database(): string {
    return this.#options.database
  }

  get isReplicated(): boolean {
    return this.#options.isReplicated
  }

  /** Each replica that is known, as a shard of its own. */
  replicas(): Shard[] {
    return this.#options.servers.map(server => new Shard({ ...this.#options, servers: [server] }))
  }

  /** Runs a CREATE or DROP statement on each known replica. */
  async onEach(statement: string): Promise<void> {
    for (const replica of this.replicas())
      await replica.run(this.isReplicated ? replicated(statement, this.database) : statement)
  }

  /** Switches to the next replica if the current one has failed. */
  moveOn(): void {
    if (this.#isToMove) this.#asked = (this.#asked + 1) % this.#options.servers.length
    this.#isToMove = false
  }

  /** Waits until the current replica has everything that was committed on any replica. */
  async catchUp(tables: readonly string[] = REPLICATED): Promise<void> {
    if (!this.isReplicated) return
    await Promise.all(tables.map(table => this.run(`SYSTEM SYNC REPLICA ${table} LIGHTWEIGHT`)))
  }

  /** Waits until every replica that can be reached has caught up, so that it does not matter which is asked next. */
  async catchUpAll(tables?: readonly string[]): Promise<void> {
    const outcomes = await Promise.allSettled(this.replicas().map(replica => replica.catchUp(tables)))
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected' && !(outcome.reason instanceof StoreUnavailable)) throw outcome.reason
    }
  }

  all(sql: string, params: Params = {}): Promise<Row[]> {
    return this.#asking(sql, async client => {
      const result = await client.query({ query: sql, query_params: params, format: 'JSONEachRow' })
      return result.json<Row>()
    })
  }

  run(sql: string, params: Params = {}): Promise<void> {
    return this.#asking(sql, async client => {
      await client.command({ query: sql, query_params: params })
    })
  }

  /** One insert. `lines`: a JSON array of values for each row, in the order of the columns. */
  insert(table: string, columns: string, lines: string, settings = ''): Promise<void> {
    return this.#send(`INSERT INTO ${table} (${columns}) ${settings} FORMAT JSONCompactEachRow`, lines, false)
  }

  /** An insert of views, which may be refused because of a value. */
  send(query: string, lines: string): Promise<void> {
    return this.#send(query, lines, true)
  }

  #send(query: string, lines: string, ofViews: boolean): Promise<void> {
    const insert = async (client: ClickHouseClient) => {
      const { stream } = await client.exec({
        query,
        values: Readable.from([Buffer.from(lines)], { objectMode: false }),
      })
      // The answer is empty. Reading it to the end frees the connection for the next request.
      await finished(stream.resume())
    }
    return this.#asking(query, insert, ofViews)
  }

  async #asking<T>(sql: string, ask: (client: ClickHouseClient) => Promise<T>, ofViews = false): Promise<T> {
    const asked = this.#asked
    const { host, client } = this.#options.servers[asked]!
    try {
      return await ask(client)
    } catch (error) {
      const failure = storeError(error, { server: host, database: this.database, sql, ofViews })
      const isAway =
        failure instanceof StoreUnavailable && !(isServers(failure) && !CUT_OFF.has(failure.code))
      if (isAway && asked === this.#asked) {
        this.#isToMove = true
        if (this.#options.movesAtOnce) this.moveOn()
      }
      throw failure
    }
  }
}

/** The replicated tables. */
const REPLICATED = [
  'rows',
  'names',
  'bases',
  'days',
  'post_totals',
  'site_days',
  'breakdowns',
  'site_breakdowns',
  'rolled',
  'counted',
  'agreed',
].map(name => `post_view_${name}`)

/** Turns a CREATE TABLE statement into one for a replicated table. */
function replicated(statement: string, database: string): string {
  const table = /^\s*CREATE TABLE (?:IF NOT EXISTS )?(\w+)/.exec(statement)?.[1]
  if (table === undefined) return statement
  const place = `'/postviews/${database}/{shard}/${table}', '{replica}'`
  return statement.replace(
    /ENGINE = (\w*)MergeTree(?:\((\w+)\))?/,
    (_, kind: string, version: string | undefined) =>
      `ENGINE = Replicated${kind}MergeTree(${version === undefined ? place : `${place}, ${version}`})`,
  )
}

/**
 * All shards, in the order of their numbers. They are found at the first question, or at a later one if that fails:
 * the servers may be away when a process starts.
 */
export class Cluster {
  readonly #address: Address
  readonly #clients: ClickHouseClient[]
  readonly #longLimit: boolean
  /** When hosts of the URL were left out because they did not answer, by `performance.now()`; null when none was. */
  #incompleteSince: number | null = null
  #shards: Promise<Shard[]> | undefined
  #known: readonly Shard[] = []
  readonly #underWay = new Set<Promise<unknown>>()
  #isClosed = false

  constructor(address: Address, { long = false }: { long?: boolean } = {}) {
    this.#address = address
    this.#longLimit = long
    this.#clients = address.origins.map(origin => this.#clientOf(origin))
  }

  /** @throws {StoreRefused} when the URL names no host of a shard, or several of one without replicas */
  shards(): Promise<Shard[]> {
    this.#shards ??= this.#find().catch(error => {
      this.#shards = undefined
      throw error
    })
    return this.#shards
  }

  /** The shard that keeps what all processes must agree on. */
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

  /** Gives work under way a short time to end, and refuses new work. */
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

  /** Runs work that `close` waits for, with all its questions. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new StoreUnavailable('ClickHouse: the store is closed')
    // One piece of work must list and read on the same replica.
    if (this.#underWay.size === 0) {
      for (const shard of this.#known) shard.moveOn()
      const since = this.#incompleteSince
      if (since !== null && performance.now() - since > ASK_AGAIN_MS) this.#shards = undefined
    }
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
      // The callers report what goes wrong.
      log: { level: ClickHouseLogLevel.OFF },
    })
  }

  async #find(): Promise<Shard[]> {
    const { cluster, database, origins } = this.#address
    const servers = origins.map((origin, index) => ({
      host: new URL(origin).host,
      client: this.#clients[index]!,
    }))
    const shard = (number: number, of: readonly Server[], isReplicated: boolean) =>
      new Shard({ number, database, servers: of, isReplicated, movesAtOnce: !this.#longLimit })
    this.#incompleteSince = null
    const found = cluster === null ? [shard(1, servers, false)] : await this.#findOf(cluster, servers, shard)
    this.#known = found
    return found
  }

  async #findOf(
    cluster: string,
    servers: readonly Server[],
    shard: (number: number, of: readonly Server[], isReplicated: boolean) => Shard,
  ): Promise<Shard[]> {
    const places = await Promise.allSettled(
      servers.map(server => placesFrom(shard(1, [server], false), cluster)),
    )
    const failures = places.flatMap(place => (place.status === 'rejected' ? [place.reason as unknown] : []))
    const found = servers.flatMap((server, index) => {
      const place = places[index]!
      return place.status === 'fulfilled' ? [{ server, ...place.value }] : []
    })
    const refusal = failures.find(failure => !(failure instanceof StoreUnavailable))
    if (refusal !== undefined || found.length === 0) throw refusal ?? failures[0]
    const shards: Shard[] = []
    for (const [number, replicas] of found[0]!.replicas) {
      const of = found.filter(place => place.number === number).map(({ server }) => server)
      if (of.length === 0 && failures.length > 0) throw failures[0]
      if (of.length === 0)
        throw new StoreRefused(`the URL names no host of shard ${number} of the cluster ${cluster}`)
      if (of.length > 1 && replicas === 1)
        throw new StoreRefused(`the URL names several hosts of shard ${number} of the cluster ${cluster}`)
      shards.push(shard(number, of, replicas > 1))
    }
    if (failures.length > 0) this.#incompleteSince = performance.now()
    return shards
  }
}

/** The shard of a server, and the number of replicas of each shard. */
async function placesFrom(
  shard: Shard,
  cluster: string,
): Promise<{ number: number; replicas: Map<number, number> }> {
  const rows = await shard.all(
    `SELECT shard_num, count() AS replicas, max(is_local) AS is_here FROM system.clusters WHERE cluster = {cluster:String}
     GROUP BY shard_num ORDER BY shard_num`,
    { cluster },
  )
  const own = rows.find(row => Number(row['is_here']) === 1)
  if (own === undefined) throw new StoreRefused(`a host of the URL does not belong to the cluster ${cluster}`)
  return {
    number: Number(own['shard_num']),
    replicas: new Map(rows.map(row => [Number(row['shard_num']), Number(row['replicas'])])),
  }
}

// Servers ask each other in a database that they choose themselves, so tables are named in full.
const LOCAL_TABLES = /\bpost_view_(?:rows|names|days|post_totals|site_days|bases|copied)\b/g

/** See `Cluster.from`. */
export function overAll(
  select: string,
  { cluster, database }: Pick<Address, 'cluster' | 'database'>,
): string {
  const named = select.replace(LOCAL_TABLES, table => `${database}.${table}`)
  return cluster === null ? `(${named})` : `cluster('${cluster}', view(${named}))`
}
