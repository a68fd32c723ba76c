import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Hold, hold, holdFreePort } from './ports.ts'
import { answers, Server, StartFailed, type StopOptions } from './server.ts'
import { chosenStack, commandIn, findStackProgram, rootOf, type Stack } from './stacks.ts'

export type RabbitmqOptions = {
  /** Where its data live; kept by `stop`. Absent: a temporary folder, which `stop` removes. */
  dir?: string
  /** Lines to add to rabbitmq.conf. */
  config?: string[]
  /** Without the management plugin it starts sooner, and `api` and `vhost` do not work. Default true. */
  management?: boolean
  /** Other plugins to enable, and what they enable: `rabbitmq_shovel`. */
  plugins?: string[]
  /** Whose RabbitMQ; null for this machine's own. Default: the stack that was chosen. */
  stack?: Stack | null
}

/** What is needed to use a running broker from another process. */
export type RabbitmqAddress = {
  /** `amqp://guest:guest@127.0.0.1:PORT`, the default virtual host. */
  url: string
  /** `http://127.0.0.1:PORT/api`, the management API. */
  apiUrl: string
}

export type Vhost = { name: string; url: string; delete(): Promise<void> }

export type Rabbitmq = RabbitmqAddress & {
  port: number
  dir: string
  /** The process of the node itself, for signals. */
  readonly pid: number
  /** The process of its epmd. */
  readonly epmdPid: number
  /** Every port this broker listens on. */
  ports: { amqp: number; distribution: number; epmd: number; management: number }
  /** rabbitmqctl, which takes a second or two; gives what it printed. */
  ctl(...args: string[]): Promise<string>
  /** A call of the management API: `api('PUT', '/policies/VHOST/NAME', {...})`; gives the parsed answer. */
  api(method: string, path: string, body?: unknown): Promise<unknown>
  /** A new virtual host, so that tests sharing this broker do not see each other. */
  vhost(name?: string): Promise<Vhost>
  /**
   * Has what was declared written to disk, which the node does by itself only some seconds later: killed before, it may
   * come back without a queue, or with a quorum queue that never finds its leader, or, from 4.3 on, has lost what was in it.
   */
  settle(): Promise<void>
  stop(options?: StopOptions): Promise<void>
  /** SIGKILL to the node; its epmd stays. */
  kill(): Promise<void>
  /** Starts the same node on the same files and ports, after `kill` or `stop({ keep: true })`, or while it runs. */
  restart(): Promise<void>
  pause(): void
  resume(): void
  /** Settles when the node that runs now has ended, with the reason: `exit code 1`, `SIGKILL`. */
  untilEnded(): Promise<string>
}

const NODE_NAME = 'postviews@localhost'
const BIN_DIR = '/usr/lib/rabbitmq/bin'

/** The programs a private broker needs, of this machine or in a stack's root; undefined where one is missing. */
export function findRabbitmq(
  root: string | null = null,
): { server: string; ctl: string; epmd: string } | undefined {
  const server = findStackProgram(root, 'rabbitmq-server', [BIN_DIR])
  const ctl = findStackProgram(root, 'rabbitmqctl', [BIN_DIR])
  const epmd = findStackProgram(root, 'epmd')
  return server && ctl && epmd ? { server, ctl, epmd } : undefined
}

/**
 * Starts a broker of our own, on 127.0.0.1 alone: other ports, files, names and epmd than any broker that may run
 * on this machine. It ends with this process.
 * @throws {StartFailed} with the tail of its log
 */
export async function startRabbitmq(options: RabbitmqOptions = {}): Promise<Rabbitmq> {
  for (let tries = 1; ; tries++) {
    try {
      return await startOnce(options)
    } catch (error) {
      // Somebody else's server took a port between our choosing it and the node's binding it.
      if (!(error instanceof StartFailed && error.addressInUse) || tries === 3) throw error
    }
  }
}

async function startOnce(options: RabbitmqOptions): Promise<Rabbitmq> {
  const root = rootOf(options.stack === undefined ? chosenStack() : options.stack)
  const programs = findRabbitmq(root)
  if (!programs) throw new Error('RabbitMQ is not installed (rabbitmq-server, rabbitmqctl, epmd)')
  const management = options.management ?? true
  const dir = options.dir ?? (await mkdtemp(join(await realpath(tmpdir()), 'postviews-rabbitmq-')))
  const held: Hold[] = options.dir ? [await holdDir(options.dir)] : []
  const freePort = async () => {
    const { port, release } = await holdFreePort()
    held.push({ release })
    return port
  }
  const ports = {
    amqp: await freePort(),
    distribution: await freePort(),
    epmd: await freePort(),
    management: await freePort(),
  }
  const inRoot = (...command: string[]) => commandIn(root, dir, command)
  const env = await writeConfiguration(dir, ports, management, options)

  const epmd = new Server({
    name: 'epmd',
    command: inRoot(programs.epmd, '-address', '127.0.0.1', '-port', String(ports.epmd)),
    env,
    cwd: dir,
    logFile: join(dir, 'epmd.log'),
    ready: () => answers(ports.epmd, EPMD_NAMES_REQUEST),
    startTimeoutMs: 10_000,
    stopTimeoutMs: 2_000,
  })
  const node = new Server({
    name: 'RabbitMQ',
    command: inRoot(programs.server),
    env,
    cwd: dir,
    logFile: join(dir, 'console.log'),
    moreLogs: [join(dir, 'log', `${NODE_NAME}.log`)],
    // The reason comes first, and then Erlang's long account of who heard of it.
    logTailLines: 60,
    ...(options.dir ? {} : { removeDir: dir }),
    ready: () => answers(ports.amqp, AMQP_PROTOCOL_HEADER),
    startTimeoutMs: 90_000,
    stopTimeoutMs: 30_000,
  })

  const start = async () => {
    if (!epmd.isRunning) await epmd.start()
    await node.start()
  }
  const end = async (stopOptions?: StopOptions) => {
    await node.stop(stopOptions)
    await epmd.stop()
    if (!stopOptions?.keep) for (const { release } of held) release()
  }
  const address = {
    url: `amqp://guest:guest@127.0.0.1:${ports.amqp}`,
    apiUrl: `http://127.0.0.1:${ports.management}/api`,
  }
  try {
    await start()
  } catch (error) {
    await end()
    throw error
  }

  const ctl = async (...args: string[]) => {
    // Without its epmd rabbitmqctl would start one, and leave it behind.
    if (!epmd.isRunning) throw new Error('rabbitmqctl: this broker was stopped')
    const [program, ...rest] = inRoot(programs.ctl, '--quiet', ...args)
    return (await run(program!, rest, { env })).stdout
  }

  return {
    ...address,
    port: ports.amqp,
    dir,
    ports,
    get pid() {
      return node.pid
    },
    get epmdPid() {
      return epmd.pid
    },
    ctl,
    settle: async () => {
      await ctl('eval', SETTLE)
    },
    api: (method, path, body) => callApi(address, method, path, body),
    vhost: name => createVhost(address, name),
    stop: end,
    kill: () => node.kill(),
    restart: async () => {
      await node.kill()
      await start()
    },
    pause: () => node.pause(),
    resume: () => node.resume(),
    untilEnded: () => node.untilEnded(),
  }
}

/** Two nodes on one data directory would ruin it, and with an epmd each they do not know of each other. */
async function holdDir(dir: string): Promise<Hold> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const held = await hold(
    `dir-${createHash('sha256')
      .update(await realpath(dir))
      .digest('hex')}`,
  )
  if (!held) throw new Error(`another broker runs on the data in ${dir}`)
  return held
}

const run = promisify(execFile)
/** Where Mnesia does not run, Khepri has written everything before it answers: the default from RabbitMQ 4.2 on. */
const SETTLE = `
  [ok = dets:sync(Table) || Table <- dets:all()],
  case mnesia:system_info(is_running) of yes -> ok = mnesia:sync_log(); _ -> ok end.
`
const AMQP_PROTOCOL_HEADER = 'AMQP\x00\x00\x09\x01'
/** Length 1, request `n`: the names that are registered. epmd says nothing unasked. */
const EPMD_NAMES_REQUEST = '\x00\x01n'

/** Writes the broker's configuration and gives the environment that makes it read this and nothing of the system's. */
async function writeConfiguration(
  dir: string,
  ports: Rabbitmq['ports'],
  management: boolean,
  { config = [], plugins = [] }: RabbitmqOptions,
): Promise<Record<string, string>> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const cookie = join(dir, '.erlang.cookie')
  await rm(cookie, { force: true })
  await writeFile(cookie, randomBytes(24).toString('hex'), { mode: 0o400 })
  const enabled = [...(management ? ['rabbitmq_management'] : []), ...plugins]
  await writeFile(join(dir, 'enabled_plugins'), `[${enabled.join(', ')}].\n`)
  await writeFile(
    join(dir, 'rabbitmq.conf'),
    [
      `listeners.tcp.default = 127.0.0.1:${ports.amqp}`,
      'log.console = false',
      ...(management ? ['management.tcp.ip = 127.0.0.1', `management.tcp.port = ${ports.management}`] : []),
      ...config,
      '',
    ].join('\n'),
  )
  const loopbackOnly = '-kernel inet_dist_use_interface {127,0,0,1}'
  return {
    PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: dir,
    LANG: 'C.UTF-8',
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_EPMD_PORT: String(ports.epmd),
    RABBITMQ_NODENAME: NODE_NAME,
    RABBITMQ_DIST_PORT: String(ports.distribution),
    RABBITMQ_MNESIA_BASE: join(dir, 'data'),
    RABBITMQ_LOG_BASE: join(dir, 'log'),
    RABBITMQ_GENERATED_CONFIG_DIR: join(dir, 'generated'),
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_CONFIG_FILE: join(dir, 'rabbitmq.conf'),
    RABBITMQ_CONFIG_FILES: join(dir, 'conf.d', '*.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(dir, 'advanced.config'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(dir, 'enabled_plugins'),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: loopbackOnly,
    // The script then replaces itself with the node, so that the pid we know is the node's own.
    RABBITMQ_ALLOW_INPUT: '1',
    RABBITMQ_SERVER_START_ARGS: '-noinput',
    RABBITMQ_CTL_ERL_ARGS: loopbackOnly,
    RABBITMQ_CTL_DIST_PORT_MIN: '0',
    RABBITMQ_CTL_DIST_PORT_MAX: '0',
  }
}

/** A new virtual host of a running broker, also one that another process has started. */
export async function createVhost(
  address: RabbitmqAddress,
  name = `v-${randomBytes(6).toString('hex')}`,
): Promise<Vhost> {
  const part = encodeURIComponent(name)
  await callApi(address, 'PUT', `/vhosts/${part}`)
  await callApi(address, 'PUT', `/permissions/${part}/guest`, { configure: '.*', write: '.*', read: '.*' })
  return {
    name,
    url: `${address.url}/${part}`,
    delete: async () => {
      await callApi(address, 'DELETE', `/vhosts/${part}`)
    },
  }
}

/** @throws {Error} with status and answer when the broker refuses */
export async function callApi(
  { apiUrl }: RabbitmqAddress,
  method: string,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const response = await fetch(apiUrl + path, {
    method,
    headers: {
      authorization: `Basic ${Buffer.from('guest:guest').toString('base64')}`,
      'content-type': 'application/json',
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(30_000),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
  return text === '' ? undefined : JSON.parse(text)
}
