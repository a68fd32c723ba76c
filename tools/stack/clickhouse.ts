import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, realpath, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CLICKHOUSE_PACKAGE, ensureClickhouse } from './clickhouse-install.ts'
import { type HeldPort, holdFreePort } from './ports.ts'
import { answers, Server, type StopOptions, startOnFreePorts } from './server.ts'

export type ClickhouseOptions = {
  /** Where its data live; kept by `stop`. Absent: a temporary folder, which `stop` removes. */
  dir?: string
  /** Users and their passwords, in addition to `default`, which has no password and which the shards use among themselves. */
  users?: Record<string, string>
  /** Elements to add to config.xml: `<max_server_memory_usage>2000000000</max_server_memory_usage>`. */
  config?: string[]
  /** Settings of every query that does not override them. */
  profile?: Record<string, string>
}

export type ClickhouseClusterOptions = ClickhouseOptions & {
  /** Default 2. */
  shards?: number
}

/** What is needed to use a running server from another process. */
export type ClickhouseAddress = {
  /** `http://127.0.0.1:PORT` */
  httpUrl: string
}

export type Clickhouse = ClickhouseAddress & {
  port: number
  /** The port at which the other shards reach it. */
  nativePort: number
  dir: string
  readonly pid: number
  /** The answer to one statement, without the last line feed. Tab-separated unless the statement says otherwise. */
  query(sql: string): Promise<string>
  stop(options?: StopOptions): Promise<void>
  /** SIGKILL. */
  kill(): Promise<void>
  /** Starts it again on the same files and ports, after `kill` or `stop({ keep: true })`, or while it runs. */
  restart(): Promise<void>
  pause(): void
  resume(): void
}

export type ClickhouseCluster = {
  shards: Clickhouse[]
  /** A new, empty database of the same name on every shard. There is no Keeper, so `ON CLUSTER` does not work. */
  database(): Promise<string>
  stop(options?: StopOptions): Promise<void>
}

/** The cluster's name in Distributed tables. A lone server is a cluster of one shard. */
export const CLICKHOUSE_CLUSTER = 'postviews'
/** The same servers, declared as replicas of one shard. They do not replicate. */
export const CLICKHOUSE_MIRRORS = 'mirrors'
/** The same cluster, in which each server is declared twice, as both replicas of its shard. */
export const CLICKHOUSE_DOUBLED = 'doubled'

/** As `startClickhouseCluster`, with a single server. */
export async function startClickhouse(options: ClickhouseOptions = {}): Promise<Clickhouse> {
  const { shards } = await startClickhouseCluster({ ...options, shards: 1 })
  return shards[0]!
}

/**
 * Starts a cluster of our own without replicas, on 127.0.0.1 only. Installs ClickHouse first if necessary. The servers end with
 * this process.
 * @throws {StartFailed} with the tail of the logs
 */
export async function startClickhouseCluster(
  options: ClickhouseClusterOptions = {},
): Promise<ClickhouseCluster> {
  await ensureClickhouse(line => console.error(line))
  return startOnFreePorts(() => startOnce(options))
}

async function startOnce(options: ClickhouseClusterOptions): Promise<ClickhouseCluster> {
  const places = await Promise.all(
    Array.from({ length: options.shards ?? 2 }, (_, n) => placeFor(n + 1, options.dir)),
  )
  const shards = await Promise.all(places.map(place => configure(place, places, options)))
  const stop = async (stopOptions?: StopOptions) => {
    await Promise.all(shards.map(shard => shard.stop(stopOptions)))
  }
  const started = await Promise.allSettled(shards.map(shard => shard.restart()))
  const failed = started.find(result => result.status === 'rejected')
  if (failed) {
    await stop()
    throw failed.reason
  }
  return {
    shards,
    database: async () => {
      const name = `d_${randomBytes(6).toString('hex')}`
      await Promise.all(shards.map(shard => shard.query(`CREATE DATABASE ${name}`)))
      return name
    },
    stop,
  }
}

/** A shard's address. All must be known before the first shard is configured. */
type Place = { number: number; dir: string; isTemporary: boolean; http: HeldPort; native: HeldPort }

async function placeFor(number: number, parent: string | undefined): Promise<Place> {
  const dir =
    parent === undefined
      ? await mkdtemp(join(await realpath(tmpdir()), 'postviews-clickhouse-'))
      : join(parent, `shard-${number}`)
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const [http, native] = [await holdFreePort(), await holdFreePort()]
  return { number, dir, isTemporary: parent === undefined, http, native }
}

async function configure(
  { number, dir, isTemporary, http, native }: Place,
  cluster: Place[],
  { users = {}, config = [], profile = {} }: ClickhouseOptions,
): Promise<Clickhouse> {
  const configFile = join(dir, 'config.xml')
  const usersFile = join(dir, 'users.xml')
  await writeFile(usersFile, usersXml({ ...users, default: '' }, profile))
  await writeFile(
    configFile,
    `<clickhouse>
  <path>${escapeXml(join(dir, 'data'))}</path>
  <tmp_path>${escapeXml(join(dir, 'tmp'))}</tmp_path>
  <user_files_path>${escapeXml(join(dir, 'user_files'))}</user_files_path>
  <users_config>${escapeXml(usersFile)}</users_config>
  <listen_host>127.0.0.1</listen_host>
  <http_port>${http.port}</http_port>
  <tcp_port>${native.port}</tcp_port>
  <logger><log>${escapeXml(join(dir, 'server.log'))}</log></logger>
  <macros><shard>${number}</shard><replica>first</replica></macros>
  <remote_servers>
    <${CLICKHOUSE_CLUSTER}>
      ${cluster.map(place => shardXml([place])).join('\n      ')}
    </${CLICKHOUSE_CLUSTER}>
    <${CLICKHOUSE_MIRRORS}>
      ${shardXml(cluster)}
    </${CLICKHOUSE_MIRRORS}>
    <${CLICKHOUSE_DOUBLED}>
      ${cluster.map(place => shardXml([place, place])).join('\n      ')}
    </${CLICKHOUSE_DOUBLED}>
  </remote_servers>
  ${EAGER}
  ${config.join('\n  ')}
</clickhouse>
`,
  )
  const server = new Server({
    name: cluster.length > 1 ? `ClickHouse, shard ${number}` : 'ClickHouse',
    command: [process.execPath, join(CLICKHOUSE_PACKAGE, 'server.mjs'), configFile],
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: dir, LANG: 'C.UTF-8' },
    cwd: dir,
    logFile: join(dir, 'console.log'),
    moreLogs: [join(dir, 'server.log')],
    ...(isTemporary ? { removeDir: dir } : {}),
    ready: () => answers(http.port, 'GET /ping HTTP/1.0\r\n\r\n'),
    startTimeoutMs: 60_000,
    stopTimeoutMs: 30_000,
  })
  const address = { httpUrl: `http://127.0.0.1:${http.port}` }
  return {
    ...address,
    port: http.port,
    nativePort: native.port,
    dir,
    get pid() {
      return server.pid
    },
    query: sql => queryClickhouse(address, sql),
    stop: async stopOptions => {
      await server.stop(stopOptions)
      if (stopOptions?.keep) return
      http.release()
      native.release()
    },
    kill: () => server.kill(),
    restart: async () => {
      await server.kill()
      await server.start()
    },
    pause: () => server.pause(),
    resume: () => server.resume(),
  }
}

/** By default, an idle server checks only about once a second for parts to merge or mutate. */
const EAGER = Object.entries({
  thread_sleep_seconds_random_part: 0.01,
  thread_sleep_seconds_if_nothing_to_do: 0.01,
  task_sleep_seconds_when_no_work_min: 0.01,
  task_sleep_seconds_when_no_work_max: 0.1,
  task_sleep_seconds_when_no_work_random_part: 0.01,
})
  .map(([name, seconds]) => {
    const element = `background_processing_pool_${name}`
    return `<${element}>${seconds}</${element}>`
  })
  .join('\n  ')

function usersXml(users: Record<string, string>, profile: Record<string, string>): string {
  const settings = Object.entries(profile).map(([name, value]) => `<${name}>${escapeXml(value)}</${name}>`)
  const elements = Object.entries(users).map(
    ([name, password]) => `<${name}>
      <password>${escapeXml(password)}</password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
    </${name}>`,
  )
  return `<clickhouse>
  <profiles><default>${settings.join('')}</default></profiles>
  <quotas><default/></quotas>
  <users>
    ${elements.join('\n    ')}
  </users>
</clickhouse>
`
}

function shardXml(replicas: readonly Place[]): string {
  const elements = replicas.map(
    ({ native }) => `<replica><host>127.0.0.1</host><port>${native.port}</port></replica>`,
  )
  return `<shard><internal_replication>true</internal_replication>${elements.join('')}</shard>`
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}

/**
 * One statement's answer, without the last line feed. Tab-separated unless the statement says otherwise.
 * @throws {Error} with the server's answer when it refuses
 */
export async function queryClickhouse(
  { httpUrl }: ClickhouseAddress,
  sql: string,
  database = 'default',
): Promise<string> {
  // Without waiting, an error after the first rows would appear only in the body.
  const response = await fetch(`${httpUrl}/?wait_end_of_query=1&database=${encodeURIComponent(database)}`, {
    method: 'POST',
    // A connection from before the server was killed would fail the next statement.
    headers: { connection: 'close' },
    body: sql,
    signal: AbortSignal.timeout(60_000),
  })
  const text = (await response.text()).trimEnd()
  if (!response.ok) throw new Error(`ClickHouse refuses ${sql.slice(0, 80)}: ${text}`)
  return text
}
