/** A RabbitMQ cluster of several nodes, for tests of what can happen to one of them. */

import { mkdtemp, realpath } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createVhost } from './rabbitmq.ts'
import {
  epmdOf,
  HeldPorts,
  type NodePorts,
  type RabbitmqNode,
  rabbitmqIn,
  rabbitmqNode,
  writeCookie,
} from './rabbitmq-node.ts'
import { type Server, startOnFreePorts } from './server.ts'
import { chosenStack, rootOf, type Stack } from './stacks.ts'

export interface ClusterOptions {
  /** Default 3. */
  nodes?: number
  /** The stack whose RabbitMQ to start; null for this machine's own. Default: the chosen stack. */
  stack?: Stack | null
  /** Lines to add to each node's rabbitmq.conf. */
  config?: readonly string[]
}

/** A virtual host: its URL on each node of the cluster, in the order of the nodes. */
export interface ClusterVhost {
  name: string
  urls: string[]
}

export interface RabbitmqCluster {
  readonly nodes: readonly ClusterNode[]
  /** The URL of the default virtual host on each node: `amqp://guest:guest@127.0.0.1:PORT`. */
  readonly urls: string[]
  readonly dir: string
  /** The pid of the epmd that the nodes share. */
  readonly epmdPid: number
  /** A new virtual host, so that tests sharing this cluster do not see each other. */
  vhost(name?: string): Promise<ClusterVhost>
  /**
   * The leader of a quorum queue, as a healthy node reports it; undefined while there is none. Takes a second or two.
   */
  leaderOf(queue: string, vhost?: string): Promise<ClusterNode | undefined>
  /** Cuts the node off from the other nodes, in both directions. Clients still reach it. */
  isolate(node: ClusterNode): Promise<void>
  /** Reconnects the node with the others. */
  heal(node: ClusterNode): Promise<void>
  stop(): Promise<void>
}

/** One node of a cluster. */
export class ClusterNode {
  /** `r1@localhost` */
  readonly name: string
  readonly ports: NodePorts
  readonly url: string
  readonly apiUrl: string
  readonly #node: RabbitmqNode
  #isPaused = false
  isIsolated = false

  constructor(name: string, ports: NodePorts, node: RabbitmqNode) {
    this.name = name
    this.ports = ports
    this.url = `amqp://guest:guest@127.0.0.1:${ports.amqp}`
    this.apiUrl = `http://127.0.0.1:${ports.management}/api`
    this.#node = node
  }

  /** It runs, and is neither paused nor isolated. */
  get isWell(): boolean {
    return this.#server.isRunning && !this.#isPaused && !this.isIsolated
  }

  /** The pid of the node itself. */
  get pid(): number {
    return this.#server.pid
  }

  get #server(): Server {
    return this.#node.server
  }

  /** Runs rabbitmqctl on this node and returns its output. Takes a second or two. */
  ctl(...args: string[]): Promise<string> {
    return this.#node.ctl(...args)
  }

  /** Settles once the node answers clients. */
  async start(): Promise<void> {
    this.#isPaused = false
    this.isIsolated = false
    await this.#server.start()
  }

  /** SIGKILL; its files stay for `start`. */
  kill(): Promise<void> {
    return this.#server.kill()
  }

  /** An orderly stop, as before maintenance; its files stay for `start`. */
  stop(): Promise<void> {
    return this.#server.stop({ keep: true })
  }

  /** An orderly stop, and a new start. */
  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  /** SIGSTOP: the node keeps its connections, but answers nothing. */
  pause(): void {
    this.#isPaused = true
    this.#server.pause()
  }

  resume(): void {
    this.#isPaused = false
    this.#server.resume()
  }

  /** Stops it for good, and removes its files. */
  discard(): Promise<void> {
    return this.#server.stop()
  }
}

/**
 * Starts a cluster of our own, on 127.0.0.1 only. Its ports, files, names and epmd differ from those of any other broker on this
 * machine. It ends with this process.
 *
 * @throws {StartFailed} with the tail of a log
 */
export function startRabbitmqCluster(options: ClusterOptions = {}): Promise<RabbitmqCluster> {
  return startOnFreePorts(() => startOnce(options))
}

async function startOnce(options: ClusterOptions): Promise<RabbitmqCluster> {
  const root = rootOf(options.stack === undefined ? chosenStack() : options.stack)
  const programs = rabbitmqIn(root)
  const home = await mkdtemp(join(await realpath(tmpdir()), 'postviews-rabbitmq-cluster-'))
  await writeCookie(home)
  const held = new HeldPorts()
  const epmdPort = await held.free()
  const epmd = epmdOf({ programs, root, home, port: epmdPort, isTemporary: true })

  const names = Array.from({ length: options.nodes ?? 3 }, (_, index) => `r${index + 1}@localhost`)
  const config = [
    'cluster_formation.peer_discovery_backend = classic_config',
    ...names.map((name, index) => `cluster_formation.classic_config.nodes.${index + 1} = ${name}`),
    ...(options.config ?? []),
  ]
  const nodes: ClusterNode[] = []
  for (const name of names) {
    const ports = await held.ofNode(epmdPort)
    const dir = join(home, name)
    const plugins = ['rabbitmq_management']
    const place = { programs, root, home, dir, name, ports, plugins, config, isTemporary: true }
    nodes.push(new ClusterNode(name, ports, await rabbitmqNode(place)))
  }

  const stop = async () => {
    // Each node removes its own files; epmd comes last and removes the folder that they share.
    await Promise.all(nodes.map(node => node.discard()))
    await epmd.stop()
    held.release()
  }
  try {
    await epmd.start()
    await Promise.all(nodes.map(node => node.start()))
    await nodes[0]!.ctl('await_online_nodes', String(nodes.length), '--timeout', '60')
  } catch (error) {
    await stop()
    throw error
  }

  const wellNode = () => {
    const node = nodes.find(({ isWell }) => isWell)
    if (node === undefined) throw new Error('no node of the cluster is well')
    return node
  }
  const others = (node: ClusterNode) => nodes.filter(other => other !== node).map(({ name }) => `'${name}'`)

  return {
    nodes,
    urls: nodes.map(({ url }) => url),
    dir: home,
    get epmdPid() {
      return epmd.pid
    },
    vhost: async name => {
      const vhost = await createVhost(wellNode(), name)
      const path = new URL(vhost.url).pathname
      return { name: vhost.name, urls: nodes.map(({ url }) => url + path) }
    },
    leaderOf: async (queue, vhost = '/') => {
      const said = await wellNode().ctl('eval', leaderQuery(queue, vhost))
      return nodes.find(({ name }) => said.includes(`leader ${name}`))
    },
    isolate: async node => {
      node.isIsolated = true
      // Nodes with different cookies do not connect. rabbitmqctl keeps the right cookie.
      await node.ctl(
        'eval',
        `[begin erlang:set_cookie(N, bad), erlang:disconnect_node(N) end || N <- [${others(node)}]].`,
      )
    },
    heal: async node => {
      await node.ctl('eval', `[erlang:set_cookie(N, erlang:get_cookie()) || N <- [${others(node)}]].`)
      node.isIsolated = false
    },
    stop,
  }
}

/** Asks the queue's members themselves: the management API may report a leader of some seconds ago. */
function leaderQuery(queue: string, vhost: string): string {
  const name = `rabbit_misc:r(<<"${vhost}">>, queue, <<"${queue}">>)`
  return `
    {ok, Q} = rabbit_amqqueue:lookup(${name}),
    {Name, _} = amqqueue:get_pid(Q),
    case ra:members({Name, node()}, 5000) of
      {ok, _, {_, Leader}} -> io_lib:format("leader ~s", [Leader]);
      _ -> none
    end.
  `
}
