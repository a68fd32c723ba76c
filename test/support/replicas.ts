/**
 * Simulates a ClickHouse with two replicas per shard. This build has no listener for other servers, so it cannot replicate, and
 * replicated tables would be read-only. Therefore two proxies stand before each server, and the store takes them for replicas.
 * They turn replicated tables into plain ones, and waiting for replicas into no-ops. Keeper is real.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, type TestContext } from 'node:test'
import {
  CLICKHOUSE_DOUBLED,
  type ClickhouseCluster,
  startClickhouseCluster,
} from '../../tools/stack/clickhouse.ts'
import { startZookeeper, type Zookeeper } from '../../tools/stack/zookeeper.ts'
import type { ContractEngine } from '../store-contract-database.ts'
import { clickhouseContract } from './clickhouse.ts'
import { opened, SETTINGS } from './two-shards.ts'

export interface Replica {
  /** Stops answering, and closes all connections. */
  leave(): Promise<void>
  comeBack(): Promise<void>
  /** Runs `work` once, before the next statement that contains these words. */
  before(words: string, work: () => Promise<void>): void
}

export interface Replicated {
  cluster: ClickhouseCluster
  zookeeper: Zookeeper
  /** Two per shard. */
  replicas: Replica[][]
  url(database: string): string
  /** The URL of the same servers, past the proxies. */
  directUrl(database: string): string
}

/** Started when first used; stopped with the test file. */
export function ownReplicated(shards: number): () => Promise<Replicated> {
  let started: Promise<Replicated> | undefined
  after(async () => {
    const running = await started
    if (running === undefined) return
    for (const replica of running.replicas.flat()) await replica.leave()
    await running.cluster.stop()
    await running.zookeeper.stop()
  })
  return () => {
    started ??= start(shards)
    return started
  }
}

async function start(shards: number): Promise<Replicated> {
  const zookeeper = await startZookeeper()
  const cluster = await startClickhouseCluster({
    shards,
    config: zookeeper.config,
    profile: { max_threads: '1' },
  })
  const proxies: StandIn[][] = []
  for (const { httpUrl } of cluster.shards)
    proxies.push([await StandIn.start(httpUrl), await StandIn.start(httpUrl)])
  const urlOf = (ports: readonly number[], database: string) =>
    `clickhouse://${ports.map(port => `127.0.0.1:${port}`).join(',')}/${database}?cluster=${CLICKHOUSE_DOUBLED}`
  return {
    cluster,
    zookeeper,
    replicas: proxies,
    url: database =>
      urlOf(
        proxies.flat().map(({ port }) => port),
        database,
      ),
    directUrl: database =>
      urlOf(
        cluster.shards.map(({ port }) => port),
        database,
      ),
  }
}

/** A new database on two shards of two replicas each, and stores on it that are closed when the test ends. */
export function twoReplicated() {
  const replicated = ownReplicated(2)
  return async (t: TestContext, settings = SETTINGS) => {
    const { cluster, replicas, url: urlOf, directUrl } = await replicated()
    const database = await cluster.database()
    const url = urlOf(database)
    const open = (at = url, others = settings) => opened(t, at, others)
    const store = await open()
    await store.migrate()
    return { servers: cluster, replicas, database, url, directUrl: directUrl(database), open, store }
  }
}

class StandIn implements Replica {
  readonly #upstream: string
  #server: Server | undefined
  #before: { words: string; work(): Promise<void> } | undefined
  port = 0

  private constructor(upstream: string) {
    this.#upstream = upstream
  }

  static async start(upstream: string): Promise<StandIn> {
    const standIn = new StandIn(upstream)
    await standIn.comeBack()
    return standIn
  }

  before(words: string, work: () => Promise<void>): void {
    this.#before = { words, work }
  }

  async leave(): Promise<void> {
    const closed = new Promise(resolve => this.#server!.close(resolve))
    this.#server!.closeAllConnections()
    await closed
  }

  async comeBack(): Promise<void> {
    const server = createServer((asked, answer) => {
      // The server is away, and so is this replica.
      this.#pass(asked, answer).catch(() => answer.destroy())
    })
    await new Promise<void>(resolve => server.listen(this.port, '127.0.0.1', resolve))
    this.#server = server
    this.port = (server.address() as AddressInfo).port
  }

  async #pass(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const body = Buffer.concat(await asked.toArray()).toString()
    // An insert has its values in the body, and its statement in the URL.
    const said = decodeURIComponent(asked.url!.replaceAll('+', ' ')) + body
    if (this.#before !== undefined && said.includes(this.#before.words)) {
      const { work } = this.#before
      this.#before = undefined
      await work()
    }
    const told = await fetch(this.#upstream + asked.url, {
      method: asked.method ?? 'POST',
      headers: { authorization: asked.headers.authorization ?? '', 'accept-encoding': 'identity' },
      body: asked.method === 'GET' ? null : plain(body),
    })
    const text = Buffer.from(await told.arrayBuffer())
    const headers = [...told.headers].filter(([name]) => name.startsWith('x-clickhouse-'))
    answer.writeHead(told.status, Object.fromEntries(headers)).end(text)
  }
}

function plain(sql: string): string {
  if (/^\s*SYSTEM SYNC REPLICA /.test(sql)) return 'SELECT 1'
  return sql
    .replace("startsWith(engine, 'Replicated')", "endsWith(engine, 'MergeTree')")
    .replace(
      /ENGINE = Replicated(\w*MergeTree)\('[^']*', '\{replica\}'(?:, (\w+))?\)/,
      (_, kind: string, version: string | undefined) =>
        `ENGINE = ${kind}${version === undefined ? '' : `(${version})`}`,
    )
}

export function replicatedEngine(shards: number): ContractEngine {
  const replicated = ownReplicated(shards)
  return clickhouseContract(
    async () => (await replicated()).cluster,
    async database => (await replicated()).url(database),
  )
}
