import { after } from 'node:test'
import { type ClickhouseCluster, startClickhouseCluster } from './clickhouse.ts'
import { createDatabase, type Database, type DatabaseOptions, startMysql } from './mysql.ts'
import { type PostgresDatabase, startPostgres } from './postgres.ts'
import { callApi, createVhost, startRabbitmq, type Vhost } from './rabbitmq.ts'
import { TEST_SERVERS, type TestServers } from './shared-servers.ts'
import { ensureParts } from './stack-install.ts'
import { chosenStack } from './stacks.ts'

export type TestVhost = Vhost & {
  /** The broker's management API: `api('PUT', '/policies/VHOST/NAME', {...})`. */
  api(method: string, path: string, body?: unknown): Promise<unknown>
}

/**
 * A new virtual host for a test, on the run's shared broker. It is deleted after the file's last test.
 * @param name one that nobody else has; made up where it does not matter
 */
export async function testRabbitmq(name?: string): Promise<TestVhost> {
  const broker = shared()?.rabbitmq ?? (await ownRabbitmq())
  const vhost = await createVhost(broker, name)
  atEnd.push(vhost.delete)
  return { ...vhost, api: (method, path, body) => callApi(broker, method, path, body) }
}

/** A new, empty database for a test, on the run's shared server. It stays as long as the server. */
export async function testMysql(options?: DatabaseOptions): Promise<Database> {
  return createDatabase(shared()?.mysql ?? (await ownMysql()), undefined, options)
}

/** A new, empty database for a test, on the test file's own server. */
export async function testPostgres(): Promise<PostgresDatabase> {
  return (await ownPostgres()).database()
}

/**
 * A cluster of two shards for this test file alone. It starts in less than a second, and is installed and started only for the
 * files that ask. Each test takes a `database()` of its own.
 */
export function testClickhouse(): Promise<ClickhouseCluster> {
  return ownClickhouse()
}

const atEnd: (() => Promise<void>)[] = []
after(async () => {
  while (atEnd.length > 0) await atEnd.pop()?.()
})

function shared(): TestServers | undefined {
  const json = process.env[TEST_SERVERS]
  return json ? (JSON.parse(json) as TestServers) : undefined
}

// A test file that is run alone starts its own servers when it first asks for them. ClickHouse is never shared.
const ownRabbitmq = once(startRabbitmq)
const ownMysql = once(startMysql)
const ownPostgres = once(async () => {
  await ensureParts(['postgres'], chosenStack(), console.log)
  return startPostgres()
})
const ownClickhouse = once(startClickhouseCluster)

function once<T extends { stop(): Promise<void> }>(start: () => Promise<T>): () => Promise<T> {
  let started: Promise<T> | undefined
  return () => {
    started ??= start().then(server => {
      atEnd.unshift(server.stop)
      return server
    })
    return started
  }
}
