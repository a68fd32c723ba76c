import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { access, mkdir, mkdtemp, realpath } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createConnection } from 'mysql2/promise'
import { holdFreePort } from './ports.ts'
import { answers, Server, type StopOptions, startOnFreePorts } from './server.ts'
import { chosenStack, commandIn, findStackProgram, rootOf, type Stack } from './stacks.ts'

export type MysqlOptions = {
  /** Where its data live; kept by `stop`. Absent: a temporary folder, which `stop` removes. */
  dir?: string
  /** More arguments for the server: `--innodb-buffer-pool-size=1G`. */
  args?: string[]
  /** The stack whose server to start; null for this machine's own. Default: the chosen stack. */
  stack?: Stack | null
}

/** What is needed to use a running server from another process. */
export type MysqlAddress = {
  /** `mysql://root@127.0.0.1:PORT/`, without a database. */
  url: string
  /** True for MySQL, false for MariaDB. */
  isMysql: boolean
}

export type Database = { name: string; url: string; isMysql: boolean; drop(): Promise<void> }

export type DatabaseOptions = {
  /** Default utf8mb4. */
  characterSet?: string
}

export type Mysql = MysqlAddress & {
  port: number
  dir: string
  readonly pid: number
  /** A new, empty database, so that tests sharing this server do not see each other. */
  database(name?: string, options?: DatabaseOptions): Promise<Database>
  /** A permanent database, created if there is none of that name. Returns its URL. */
  ensureDatabase(name: string): Promise<string>
  stop(options?: StopOptions): Promise<void>
  /** SIGKILL. */
  kill(): Promise<void>
  /** Starts it again on the same files and port, after `kill` or `stop({ keep: true })`, or while it runs. */
  restart(): Promise<void>
  pause(): void
  resume(): void
  /** Settles when the process that runs now has ended, with the reason: `exit code 1`, `SIGKILL`. */
  untilEnded(): Promise<string>
}

interface Programs {
  server: string
  /** The program that creates MariaDB's data folder; null for MySQL, whose server creates it. */
  install: string | null
}

/** The programs of a private server, from this machine or a stack's root; undefined if one is missing. */
function findMysql(root: string | null, isMysql: boolean): Programs | undefined {
  if (isMysql) {
    const server = findStackProgram(root, 'mysqld')
    return server === undefined ? undefined : { server, install: null }
  }
  const server = findStackProgram(root, 'mariadbd')
  const install = findStackProgram(root, 'mariadb-install-db')
  // mariadb-install-db runs this program, which Debian ships in the client's package.
  return server && install && findStackProgram(root, 'my_print_defaults') ? { server, install } : undefined
}

/**
 * Starts a server of our own, on 127.0.0.1 only, with the server's default settings: every commit is on disk before it is
 * answered. It ends with this process.
 * @throws {StartFailed} with the tail of its log
 */
export async function startMysql(options: MysqlOptions = {}): Promise<Mysql> {
  return startOnFreePorts(() => startOnce(options))
}

async function startOnce(options: MysqlOptions): Promise<Mysql> {
  const stack = options.stack === undefined ? chosenStack() : options.stack
  const root = rootOf(stack)
  const isMysql = stack?.sqlName === 'MySQL'
  const name = stack?.sqlName ?? 'MariaDB'
  const programs = findMysql(root, isMysql)
  if (!programs) throw new Error(`${name} is not installed`)
  const dir =
    options.dir ?? (await mkdtemp(join(await realpath(tmpdir()), `postviews-${name.toLowerCase()}-`)))
  const inRoot = (...command: string[]) => commandIn(root, dir, command)
  const { port, release } = await holdFreePort()
  const server = new Server({
    name,
    command: inRoot(
      programs.server,
      '--no-defaults',
      ...asThisUser(),
      `--datadir=${join(dir, 'data')}`,
      // In a shared folder, a starting server deletes the temporary files of other servers, even of those that run.
      `--tmpdir=${dir}`,
      `--socket=${join(dir, 'mysql.sock')}`,
      `--pid-file=${join(dir, 'mysql.pid')}`,
      `--port=${port}`,
      '--bind-address=127.0.0.1',
      ...(isMysql ? [...MYSQL_ALONE, '--mysqlx=OFF'] : []),
      ...(options.args ?? []),
    ),
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: dir, LANG: 'C.UTF-8' },
    cwd: dir,
    logFile: join(dir, 'mysql.log'),
    ...(options.dir ? {} : { removeDir: dir }),
    // Once it is ready, it greets each connection.
    ready: () => answers(port),
    startTimeoutMs: 60_000,
    stopTimeoutMs: 60_000,
  })
  const end = async (stopOptions?: StopOptions) => {
    await server.stop(stopOptions)
    if (!stopOptions?.keep) release()
  }
  try {
    await createDataDir(programs, dir, inRoot)
    await server.start()
  } catch (error) {
    await end()
    throw error
  }

  const address = { url: `mysql://root@127.0.0.1:${port}/`, isMysql }
  return {
    ...address,
    port,
    dir,
    get pid() {
      return server.pid
    },
    database: (name, databaseOptions) => createDatabase(address, name, databaseOptions),
    ensureDatabase: async wanted => {
      await execute(address, 'CREATE DATABASE IF NOT EXISTS ?? CHARACTER SET utf8mb4', [wanted])
      return new URL(wanted, address.url).href
    },
    stop: end,
    kill: () => server.kill(),
    restart: async () => {
      await server.kill()
      await server.start()
    },
    pause: () => server.pause(),
    resume: () => server.resume(),
    untilEnded: () => server.untilEnded(),
  }
}

const run = promisify(execFile)

async function createDataDir(
  { server, install }: Programs,
  dir: string,
  inRoot: (...command: string[]) => string[],
): Promise<void> {
  const data = join(dir, 'data')
  const exists = await access(join(data, 'mysql')).then(
    () => true,
    () => false,
  )
  if (exists) return
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const where = ['--no-defaults', `--datadir=${data}`, `--tmpdir=${dir}`, ...asThisUser()]
  const [program, ...args] =
    install === null
      ? inRoot(server, ...where, ...MYSQL_ALONE, '--initialize-insecure')
      : inRoot(install, ...where, '--auth-root-authentication-method=normal', '--skip-test-db')
  await run(program!, args)
}

/** The package without its service has no such folder, which the server requires by default. */
const MYSQL_ALONE = ['--secure-file-priv=NULL']

/** A server started by root requires this option as a confirmation. */
function asThisUser(): string[] {
  return process.getuid?.() === 0 ? ['--user=root'] : []
}

/** A new, empty database on a running server, which another process may have started. */
export async function createDatabase(
  address: MysqlAddress,
  name = `d_${randomBytes(6).toString('hex')}`,
  { characterSet = 'utf8mb4' }: DatabaseOptions = {},
): Promise<Database> {
  await execute(address, 'CREATE DATABASE ?? CHARACTER SET ??', [name, characterSet])
  return {
    name,
    url: new URL(name, address.url).href,
    isMysql: address.isMysql,
    drop: () => execute(address, 'DROP DATABASE IF EXISTS ??', [name]),
  }
}

async function execute({ url }: MysqlAddress, sql: string, names: string[]): Promise<void> {
  const connection = await createConnection({ uri: url })
  try {
    await connection.query(sql, names)
  } finally {
    await connection.end()
  }
}
