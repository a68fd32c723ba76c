import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, test } from 'node:test'
import { type ConfirmChannel, connect } from 'amqplib'
import { isFree } from '../../tools/stack/ports.ts'
import { hasEnded, listeningAddresses } from '../../tools/stack/proc.ts'
import {
  type ClusterNode,
  type ClusterVhost,
  type RabbitmqCluster,
  startRabbitmqCluster,
} from '../../tools/stack/rabbitmq-cluster.ts'
import { until } from '../support/until.ts'

const QUEUE = 'kept'

describe('a private cluster of brokers', () => {
  let cluster: RabbitmqCluster
  let vhost: ClusterVhost
  before(async () => {
    cluster = await startRabbitmqCluster()
    vhost = await cluster.vhost()
    await onNode(cluster.nodes[1]!, async channel => {
      await channel.assertQueue(QUEUE, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
    })
  })
  after(() => cluster.stop())

  async function onNode<T>(node: ClusterNode, work: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
    const connection = await connect(vhost.urls[cluster.nodes.indexOf(node)]!)
    try {
      return await work(await connection.createConfirmChannel())
    } finally {
      await connection.close()
    }
  }

  const publishOn = (node: ClusterNode) =>
    onNode(node, async channel => {
      channel.sendToQueue(QUEUE, Buffer.from('a view'), { persistent: true })
      await channel.waitForConfirms()
    })

  /** A channel that is opened while a leader is being chosen is refused. */
  const takesAgain = (node: ClusterNode) =>
    until(
      'it takes what is published',
      () =>
        publishOn(node).then(
          () => true,
          () => false,
        ),
      30_000,
    )

  const depthOn = (node: ClusterNode) =>
    onNode(node, async channel => (await channel.checkQueue(QUEUE)).messageCount)

  /** Once there is one other than `former`. */
  async function leader(former?: ClusterNode): Promise<ClusterNode> {
    let found: ClusterNode | undefined
    const isLed = async () => {
      found = await cluster.leaderOf(QUEUE, vhost.name)
      return found !== undefined && found !== former
    }
    await until('the queue has a leader', isLed, 30_000)
    return found!
  }

  test('listens on loopback alone', () => {
    for (const { pid, ports } of cluster.nodes) {
      const { amqp, distribution, management } = ports
      assert.deepEqual(
        listeningAddresses(pid),
        [amqp, distribution, management].map(port => `127.0.0.1:${port}`).sort(),
      )
    }
  })

  test('is one broker: what is published on one node is there on the others', async () => {
    const [first, second, third] = cluster.nodes
    assert.equal(await leader(), second)
    await publishOn(first!)
    assert.equal(await depthOn(third!), 1)
  })

  test('goes on without the leader of a queue, which comes back as the same node', async () => {
    const former = await leader()
    await former.kill()
    const next = await leader(former)
    assert.notEqual(next, former)
    await takesAgain(next)
    await former.start()
    assert.ok((await depthOn(former)) >= 2)
  })

  test('finds another leader than one that hangs', async () => {
    const former = await leader()
    former.pause()
    assert.notEqual(await leader(former), former)
    former.resume()
    await takesAgain(former)
  })

  test('goes on without a node that the others do not reach', async () => {
    const former = await leader()
    await cluster.isolate(former)
    await takesAgain(await leader(former))
    assert.match(await former.ctl('eval', 'nodes().'), /\[\]/)
    await cluster.heal(former)
    await until('it sees the others again', async () => {
      const seen = await former.ctl('eval', 'nodes().')
      return cluster.nodes.every(({ name }) => name === former.name || seen.includes(name))
    })
  })

  test('leaves no process, port or file after its stop', async () => {
    const pids = [cluster.epmdPid, ...cluster.nodes.map(({ pid }) => pid)]
    const ports = cluster.nodes.flatMap(node => Object.values(node.ports))
    await cluster.stop()
    assert.deepEqual(pids.map(hasEnded), [true, true, true, true])
    assert.equal(existsSync(cluster.dir), false)
    for (const port of ports) assert.equal(await isFree(port), true)
  })
})

/** Starts a cluster, tells where it is, and then does nothing for ever. */
const STARTER = `
import { startRabbitmqCluster } from '${join(import.meta.dirname, '../../tools/stack/rabbitmq-cluster.ts')}'
const { epmdPid, nodes, dir } = await startRabbitmqCluster({ nodes: 2 })
console.log(JSON.stringify({ pids: [epmdPid, ...nodes.map(node => node.pid)], dir }))
setInterval(() => {}, 60_000)
`

test('nothing is left of a cluster whose starter was killed', async () => {
  const starter = spawn(process.execPath, ['--input-type=module', '-e', STARTER], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(createInterface(starter.stdout), 'line')) as [string]
  const { pids, dir } = JSON.parse(line) as { pids: number[]; dir: string }
  assert.deepEqual(pids.map(hasEnded), [false, false, false])
  starter.kill('SIGKILL')
  await until('processes and files are gone', () => pids.every(hasEnded) && !existsSync(dir))
})
