import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { access, mkdir, mkdtemp, realpath } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createConnection } from 'mysql2/promise'
import { holdFreePort } from './ports.ts'
import { findProgram } from './programs.ts'
import { answers, Server, StartFailed, type StopOptions } from './server.ts'

export type MariadbOptions = {
  /** Where its data live; kept by `stop`. Absent: a temporary folder, which `stop` removes. */
  dir?: string
  /** More arguments for the server: `--innodb-buffer-pool-size=1G`. */
  args?: string[]
}

/** What is needed to use a running server from another process. */
export type MariadbAddress = {
  /** `mysql://root@127.0.0.1:PORT/`, without a database. */
  url: string
}

export type Database = { name: string; url: string; drop(): Promise<void> }

export type DatabaseOptions = {
  /** Default utf8mb4. */
  characterSet?: string
}

export type Mariadb = MariadbAddress & {
  port: number
  dir: string
  readonly pid: number
  /** A new, empty database, so that tests sharing this server do not see each other. */
  database(name?: string, options?: DatabaseOptions): Promise<Database>
  stop(options?: StopOptions): Promise<void>
  /** SIGKILL. */
  kill(): Promise<void>
  /** Starts it again on the same files and port, after `kill` or `stop({ keep: true })`, or while it runs. */
  restart(): Promise<void>
  pause(): void
  resume(): void
}

/** The programs a private server needs; undefined where one is missing. */
export function findMariadb(): { server: string; install: string } | undefined {
  const server = findProgram('mariadbd')
  const install = findProgram('mariadb-install-db')
  // mariadb-install-db runs this one, and Debian has it in the client's package.
  return server && install && findProgram('my_print_defaults') ? { server, install } : undefined
}

/**
 * Starts a server of our own, on 127.0.0.1 alone, with the server's default settings: every commit is on the disk
 * before it is answered. It ends with this process.
 * @throws {StartFailed} with the tail of its log
 */
export async function startMariadb(options: MariadbOptions = {}): Promise<Mariadb> {
  for (let tries = 1; ; tries++) {
    try {
      return await startOnce(options)
    } catch (error) {
      // Somebody else's server took the port between our choosing it and the server's binding it.
      if (!(error instanceof StartFailed && error.addressInUse) || tries === 3) throw error
    }
  }
}

async function startOnce(options: MariadbOptions): Promise<Mariadb> {
  const programs = findMariadb()
  if (!programs) throw new Error('MariaDB is not installed (mariadbd, mariadb-install-db, my_print_defaults)')
  const dir = options.dir ?? (await mkdtemp(join(await realpath(tmpdir()), 'postviews-mariadb-')))
  const { port, release } = await holdFreePort()
  const server = new Server({
    name: 'MariaDB',
    command: [
      programs.server,
      '--no-defaults',
      ...asThisUser(),
      `--datadir=${join(dir, 'data')}`,
      // A server that starts removes whatever its like have left in a shared one, of others that run as well.
      `--tmpdir=${dir}`,
      `--socket=${join(dir, 'mariadb.sock')}`,
      `--pid-file=${join(dir, 'mariadb.pid')}`,
      `--port=${port}`,
      '--bind-address=127.0.0.1',
      ...(options.args ?? []),
    ],
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: dir, LANG: 'C.UTF-8' },
    cwd: dir,
    logFile: join(dir, 'mariadb.log'),
    ...(options.dir ? {} : { removeDir: dir }),
    // It greets whoever connects, once it is ready for them.
    ready: () => answers(port),
    startTimeoutMs: 60_000,
    stopTimeoutMs: 60_000,
  })
  const end = async (stopOptions?: StopOptions) => {
    await server.stop(stopOptions)
    if (!stopOptions?.keep) release()
  }
  try {
    await createDataDir(programs.install, dir)
    await server.start()
  } catch (error) {
    await end()
    throw error
  }

  const address = { url: `mysql://root@127.0.0.1:${port}/` }
  return {
    ...address,
    port,
    dir,
    get pid() {
      return server.pid
    },
    database: (name, databaseOptions) => createDatabase(address, name, databaseOptions),
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

const run = promisify(execFile)

async function createDataDir(install: string, dir: string): Promise<void> {
  const data = join(dir, 'data')
  const exists = await access(join(data, 'mysql')).then(
    () => true,
    () => false,
  )
  if (exists) return
  await mkdir(dir, { recursive: true, mode: 0o700 })
  await run(install, [
    '--no-defaults',
    `--datadir=${data}`,
    `--tmpdir=${dir}`,
    '--auth-root-authentication-method=normal',
    '--skip-test-db',
    ...asThisUser(),
  ])
}

/** Started by root, the server insists on being told that this is meant. */
function asThisUser(): string[] {
  return process.getuid?.() === 0 ? ['--user=root'] : []
}

/** A new, empty database of a running server, also one that another process has started. */
export async function createDatabase(
  address: MariadbAddress,
  name = `d_${randomBytes(6).toString('hex')}`,
  { characterSet = 'utf8mb4' }: DatabaseOptions = {},
): Promise<Database> {
  await execute(address, 'CREATE DATABASE ?? CHARACTER SET ??', [name, characterSet])
  return {
    name,
    url: new URL(name, address.url).href,
    drop: () => execute(address, 'DROP DATABASE IF EXISTS ??', [name]),
  }
}

async function execute({ url }: MariadbAddress, sql: string, names: string[]): Promise<void> {
  const connection = await createConnection({ uri: url })
  try {
    await connection.query(sql, names)
  } finally {
    await connection.end()
  }
}
