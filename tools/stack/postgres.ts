import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chownSync, existsSync, readdirSync } from 'node:fs'
import { access, mkdtemp, realpath } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { holdFreePort } from './ports.ts'
import { Server, type StopOptions, startOnFreePorts } from './server.ts'
import { chosenStack, commandIn, rootOf } from './stacks.ts'

/** Tells another process where the server is. */
export type PostgresAddress = {
  /** `postgres://postgres@127.0.0.1:PORT/`, without a database. */
  url: string
}

export type PostgresDatabase = { name: string; url: string; drop(): Promise<void> }

export type Postgres = PostgresAddress & {
  port: number
  dir: string
  readonly pid: number
  /** Creates an empty database, so that tests on the same server do not see each other's data. */
  database(): Promise<PostgresDatabase>
  stop(options?: StopOptions): Promise<void>
  /** SIGKILL. */
  kill(): Promise<void>
  /** Starts it again on the same files and port. */
  restart(): Promise<void>
  pause(): void
  resume(): void
}

const run = promisify(execFile)
const VERSIONS = '/usr/lib/postgresql'

/**
 * The folder with the programs of the newest PostgreSQL that Debian installed; undefined if there is none.
 * @param root a stack's root: the folder is a path inside it; null for this machine
 */
export function findPostgres(root: string | null): string | undefined {
  const here = (path: string) => (root ?? '') + path
  if (!existsSync(here(VERSIONS))) return undefined
  const versions = readdirSync(here(VERSIONS)).sort((a, b) => Number(b) - Number(a))
  return versions
    .map(version => join(VERSIONS, version, 'bin'))
    .find(bin => existsSync(here(join(bin, 'postgres'))))
}

/**
 * Starts a server of our own, from the chosen stack, that listens on 127.0.0.1 only. It has PostgreSQL's default settings, so a
 * commit is on the disk before it is answered. The server ends with this process.
 * @throws {StartFailed} with the tail of its log
 */
export function startPostgres(): Promise<Postgres> {
  return startOnFreePorts(startOnce)
}

async function startOnce(): Promise<Postgres> {
  const root = rootOf(chosenStack())
  const bin = findPostgres(root)
  if (bin === undefined) throw new Error('PostgreSQL is not installed')
  const dir = await mkdtemp(join(await realpath(tmpdir()), 'postviews-postgres-'))
  const as = await notRoot()
  if (as !== undefined) chownSync(dir, as.uid, as.gid)
  const inUse =
    as === undefined ? [] : ['setpriv', `--reuid=${as.uid}`, `--regid=${as.gid}`, '--clear-groups']
  const inRoot = (program: string, ...args: string[]) =>
    commandIn(root, dir, [...inUse, join(bin, program), ...args])
  const data = join(dir, 'data')
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: dir, LANG: 'C.UTF-8' }
  const { port, release } = await holdFreePort()
  const url = `postgres://postgres@127.0.0.1:${port}/`
  const server = new Server({
    name: 'PostgreSQL',
    command: inRoot(
      'postgres',
      ...['-D', data],
      ...['-p', String(port)],
      ...['-c', 'listen_addresses=127.0.0.1'],
      ...['-c', `unix_socket_directories=${dir}`],
    ),
    env,
    cwd: dir,
    logFile: join(dir, 'postgres.log'),
    removeDir: dir,
    ready: () => isReady(url),
    startTimeoutMs: 60_000,
    stopTimeoutMs: 60_000,
  })
  const end = async (options?: StopOptions) => {
    await server.stop(options)
    if (!options?.keep) release()
  }
  try {
    const [initdb, ...args] = inRoot(
      'initdb',
      ...['-D', data],
      ...['-U', 'postgres'],
      ...['-A', 'trust'],
      ...['-E', 'UTF8'],
      '--no-sync',
    )
    const exists = await access(data).then(
      () => true,
      () => false,
    )
    if (!exists) await run(initdb!, args, { cwd: dir, env })
    await server.start()
  } catch (error) {
    await end()
    throw error
  }
  return {
    url,
    port,
    dir,
    get pid() {
      return server.pid
    },
    database: () => createPostgresDatabase({ url }),
    stop: end,
    kill: () => server.kill(),
    restart: async () => {
      await server.kill()
      await server.start()
    },
    pause: () => server.pause(),
    resume: () => server.resume(),
  }
}

/** The user to run the server as: PostgreSQL refuses to run as root. */
async function notRoot(): Promise<{ uid: number; gid: number } | undefined> {
  if (userInfo().uid !== 0) return undefined
  const ids = await Promise.all(['-u', '-g'].map(which => run('id', [which, 'nobody'])))
  const [uid, gid] = ids.map(({ stdout }) => Number(stdout))
  return { uid: uid!, gid: gid! }
}

async function isReady(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: `${url}postgres`, connectionTimeoutMillis: 2_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    return true
  } catch {
    return false // Not yet.
  } finally {
    await client.end().catch(() => {})
  }
}

/** Creates a database on a running server, which another process may have started. */
export async function createPostgresDatabase({ url }: PostgresAddress): Promise<PostgresDatabase> {
  const name = `d_${randomBytes(6).toString('hex')}`
  const ask = async (sql: string) => {
    await queryPostgres(`${url}postgres`, sql)
  }
  await ask(`CREATE DATABASE ${name}`)
  return { name, url: `${url}${name}`, drop: () => ask(`DROP DATABASE ${name} WITH (FORCE)`) }
}

/** Runs a statement on a new connection. BIGINT and NUMERIC come as numbers instead of text. */
export async function queryPostgres(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url, types: { getTypeParser } })
  // A test may kill the server meanwhile. Without a listener that would end this process.
  client.on('error', () => {})
  try {
    await client.connect()
    return (await client.query(sql)).rows
  } finally {
    await client.end().catch(() => {})
  }
}

const NUMBERS = [pg.types.builtins.INT8, pg.types.builtins.NUMERIC]
const getTypeParser = ((oid: number, format?: 'text') =>
  NUMBERS.includes(oid) ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser
