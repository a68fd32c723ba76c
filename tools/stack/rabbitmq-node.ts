/** One node of a private RabbitMQ: its files, the environment that isolates it from all others, its process and its epmd. */

import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Hold, holdFreePort } from './ports.ts'
import { answers, Server } from './server.ts'
import { commandIn, findStackProgram } from './stacks.ts'

export interface RabbitmqPrograms {
  server: string
  ctl: string
  epmd: string
}

/** Every port that a node and its epmd listen on. */
export interface NodePorts {
  amqp: number
  distribution: number
  epmd: number
  management: number
}

export interface NodePlace {
  programs: RabbitmqPrograms
  /** The stack's root; null where the programs are this machine's own. */
  root: string | null
  /** Nodes with the same home know each other: it holds the cookie, and all of their files. */
  home: string
  /** The folder of this node alone. */
  dir: string
  /** `postviews@localhost` */
  name: string
  ports: NodePorts
  plugins: readonly string[]
  /** Lines to add to rabbitmq.conf. */
  config: readonly string[]
  /** Whether `dir` is removed when the node stops for good, or when this process dies. */
  isTemporary: boolean
}

export interface RabbitmqNode {
  server: Server
  /** Runs rabbitmqctl and returns its output. */
  ctl(...args: string[]): Promise<string>
}

const BIN_DIR = '/usr/lib/rabbitmq/bin'
const AMQP_PROTOCOL_HEADER = 'AMQP\x00\x00\x09\x01'
/** Length 1, request `n`: asks for the registered names. epmd sends nothing unasked. */
const EPMD_NAMES_REQUEST = '\x00\x01n'
const LOOPBACK_ONLY = '-kernel inet_dist_use_interface {127,0,0,1}'

/** The programs of a private broker, from this machine or a stack's root; undefined if one is missing. */
export function findRabbitmq(root: string | null = null): RabbitmqPrograms | undefined {
  const server = findStackProgram(root, 'rabbitmq-server', [BIN_DIR])
  const ctl = findStackProgram(root, 'rabbitmqctl', [BIN_DIR])
  const epmd = findStackProgram(root, 'epmd')
  return server && ctl && epmd ? { server, ctl, epmd } : undefined
}

/** @throws {Error} if one is missing */
export function rabbitmqIn(root: string | null): RabbitmqPrograms {
  const programs = findRabbitmq(root)
  if (!programs) throw new Error('RabbitMQ is not installed (rabbitmq-server, rabbitmqctl, epmd)')
  return programs
}

/** Ports that no other run takes until they are released. */
export class HeldPorts {
  readonly #held: Hold[] = []

  async free(): Promise<number> {
    const { port, release } = await holdFreePort()
    this.#held.push({ release })
    return port
  }

  /** The ports of a node. Other nodes may share its epmd. */
  async ofNode(epmd?: number): Promise<NodePorts> {
    return {
      amqp: await this.free(),
      distribution: await this.free(),
      epmd: epmd ?? (await this.free()),
      management: await this.free(),
    }
  }

  release(): void {
    for (const { release } of this.#held) release()
  }
}

/** The epmd of the nodes in `home`. With `isTemporary`, it removes that folder when it stops. */
export function epmdOf(
  place: Pick<NodePlace, 'programs' | 'root' | 'home' | 'isTemporary'> & { port: number },
): Server {
  const { programs, root, home, port, isTemporary } = place
  return new Server({
    name: 'epmd',
    command: commandIn(root, home, [programs.epmd, '-address', '127.0.0.1', '-port', String(port)]),
    env: environmentOf(home, port),
    cwd: home,
    logFile: join(home, 'epmd.log'),
    ...(isTemporary ? { removeDir: home } : {}),
    ready: () => answers(port, EPMD_NAMES_REQUEST),
    startTimeoutMs: 10_000,
    stopTimeoutMs: 2_000,
  })
}

/** Nodes with the same cookie trust each other. rabbitmqctl needs it, too. */
export async function writeCookie(home: string): Promise<void> {
  await mkdir(home, { recursive: true, mode: 0o700 })
  const cookie = join(home, '.erlang.cookie')
  await rm(cookie, { force: true })
  await writeFile(cookie, randomBytes(24).toString('hex'), { mode: 0o400 })
}

/** Writes the node's configuration; the caller starts the node. `home` must have a cookie by then. */
export async function rabbitmqNode(place: NodePlace): Promise<RabbitmqNode> {
  const { programs, root, home, dir, name, ports, isTemporary } = place
  await writeConfiguration(place)
  const env = { ...environmentOf(home, ports.epmd), ...settingsOf(place) }
  const inRoot = (...command: string[]) => commandIn(root, home, command)
  const server = new Server({
    name: 'RabbitMQ',
    command: inRoot(programs.server),
    env,
    cwd: home,
    logFile: join(dir, 'console.log'),
    moreLogs: [join(dir, 'log', `${name}.log`)],
    // The reason comes first, followed by Erlang's long crash reports.
    logTailLines: 60,
    ...(isTemporary ? { removeDir: dir } : {}),
    ready: () => answers(ports.amqp, AMQP_PROTOCOL_HEADER),
    startTimeoutMs: 90_000,
    stopTimeoutMs: 30_000,
  })
  return {
    server,
    ctl: async (...args) => {
      const [program, ...rest] = inRoot(programs.ctl, '--quiet', ...args)
      return (await run(program!, rest, { env })).stdout
    },
  }
}

const run = promisify(execFile)

async function writeConfiguration({ dir, ports, plugins, config }: NodePlace): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  await writeFile(join(dir, 'enabled_plugins'), `[${plugins.join(', ')}].\n`)
  await writeFile(
    join(dir, 'rabbitmq.conf'),
    [
      `listeners.tcp.default = 127.0.0.1:${ports.amqp}`,
      'log.console = false',
      ...(plugins.includes('rabbitmq_management')
        ? ['management.tcp.ip = 127.0.0.1', `management.tcp.port = ${ports.management}`]
        : []),
      ...config,
      '',
    ].join('\n'),
  )
}

function environmentOf(home: string, epmdPort: number): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: home,
    LANG: 'C.UTF-8',
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_EPMD_PORT: String(epmdPort),
  }
}

/** Makes the node and its rabbitmqctl read this configuration, and nothing of the system's. */
function settingsOf({ dir, name, ports }: NodePlace): Record<string, string> {
  return {
    RABBITMQ_NODENAME: name,
    RABBITMQ_DIST_PORT: String(ports.distribution),
    RABBITMQ_MNESIA_BASE: join(dir, 'data'),
    RABBITMQ_LOG_BASE: join(dir, 'log'),
    RABBITMQ_GENERATED_CONFIG_DIR: join(dir, 'generated'),
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_CONFIG_FILE: join(dir, 'rabbitmq.conf'),
    RABBITMQ_CONFIG_FILES: join(dir, 'conf.d', '*.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(dir, 'advanced.config'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(dir, 'enabled_plugins'),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: LOOPBACK_ONLY,
    // With it, the script replaces itself with the node, so that the pid that we know is the node's.
    RABBITMQ_ALLOW_INPUT: '1',
    RABBITMQ_SERVER_START_ARGS: '-noinput',
    RABBITMQ_CTL_ERL_ARGS: LOOPBACK_ONLY,
    RABBITMQ_CTL_DIST_PORT_MIN: '0',
    RABBITMQ_CTL_DIST_PORT_MAX: '0',
  }
}
