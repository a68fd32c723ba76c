import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, realpath } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Hold, hold } from './ports.ts'
import { epmdOf, HeldPorts, type NodePorts, rabbitmqIn, rabbitmqNode, writeCookie } from './rabbitmq-node.ts'
import { type StopOptions, startOnFreePorts } from './server.ts'
import { chosenStack, rootOf, type Stack } from './stacks.ts'

export type RabbitmqOptions = {
  /** Where its data live; kept by `stop`. Absent: a temporary folder, which `stop` removes. */
  dir?: string
  /** Lines to add to rabbitmq.conf. */
  config?: string[]
  /** Without the management plugin it starts faster, but `api` and `vhost` do not work. Default true. */
  management?: boolean
  /** Other plugins to enable, with their dependencies: `rabbitmq_shovel`. */
  plugins?: string[]
  /** The stack whose RabbitMQ to start; null for this machine's own. Default: the chosen stack. */
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
  /** The pid of the node itself, for signals. */
  readonly pid: number
  /** The pid of its epmd. */
  readonly epmdPid: number
  /** Every port this broker listens on. */
  ports: NodePorts
  /** Runs rabbitmqctl, which takes a second or two, and returns its output. */
  ctl(...args: string[]): Promise<string>
  /** Calls the management API: `api('PUT', '/policies/VHOST/NAME', {...})`. Returns the parsed answer. */
  api(method: string, path: string, body?: unknown): Promise<unknown>
  /** A new virtual host, so that tests sharing this broker do not see each other. */
  vhost(name?: string): Promise<Vhost>
  /**
   * Writes declarations to disk, which the node itself does only some seconds later. A node that is killed before that may come
   * back without a queue, with a quorum queue that never finds its leader, or, from 4.3 on, without the queue's messages.
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

/**
 * Starts a broker of our own, on 127.0.0.1 only. Its ports, files, names and epmd differ from those of any other broker on this
 * machine. It ends with this process.
 * @throws {StartFailed} with the tail of its log
 */
export function startRabbitmq(options: RabbitmqOptions = {}): Promise<Rabbitmq> {
  return startOnFreePorts(() => startOnce(options))
}

async function startOnce(options: RabbitmqOptions): Promise<Rabbitmq> {
  const root = rootOf(options.stack === undefined ? chosenStack() : options.stack)
  const programs = rabbitmqIn(root)
  const management = options.management ?? true
  const dir = options.dir ?? (await mkdtemp(join(await realpath(tmpdir()), 'postviews-rabbitmq-')))
  const heldDir = options.dir ? await holdDir(options.dir) : undefined
  const held = new HeldPorts()
  const ports = await held.ofNode()
  await writeCookie(dir)
  const epmd = epmdOf({ programs, root, home: dir, port: ports.epmd, isTemporary: false })
  const node = await rabbitmqNode({
    programs,
    root,
    home: dir,
    dir,
    name: NODE_NAME,
    ports,
    plugins: [...(management ? ['rabbitmq_management'] : []), ...(options.plugins ?? [])],
    config: options.config ?? [],
    isTemporary: options.dir === undefined,
  })
  const { server } = node

  const start = async () => {
    if (!epmd.isRunning) await epmd.start()
    await server.start()
  }
  const end = async (stopOptions?: StopOptions) => {
    await server.stop(stopOptions)
    await epmd.stop()
    if (stopOptions?.keep) return
    held.release()
    heldDir?.release()
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
    // Without its epmd, rabbitmqctl would start one and leave it running.
    if (!epmd.isRunning) throw new Error('rabbitmqctl: this broker was stopped')
    return node.ctl(...args)
  }

  return {
    ...address,
    port: ports.amqp,
    dir,
    ports,
    get pid() {
      return server.pid
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
    kill: () => server.kill(),
    restart: async () => {
      await server.kill()
      await start()
    },
    pause: () => server.pause(),
    resume: () => server.resume(),
    untilEnded: () => server.untilEnded(),
  }
}

/** Two nodes would ruin a shared data directory, and with an epmd each they do not know of each other. */
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

/** Without Mnesia there is nothing to do: Khepri, the default from RabbitMQ 4.2 on, writes everything before it answers. */
const SETTLE = `
  [ok = dets:sync(Table) || Table <- dets:all()],
  case mnesia:system_info(is_running) of yes -> ok = mnesia:sync_log(); _ -> ok end.
`
/** A new virtual host on a running broker, which another process may have started. */
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
