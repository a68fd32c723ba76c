/** Something happens to one node of three brokers, or to two: row 22 of the faults. Counting goes on by itself, exactly. */

import assert from 'node:assert/strict'
import { after, before, describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import {
  type ClusterNode,
  type RabbitmqCluster,
  startRabbitmqCluster,
} from '../../tools/stack/rabbitmq-cluster.ts'
import { type ClusteredSystem, clusteredSystem, Progress, untilQueueAnswers } from '../support/clustered.ts'
import { until } from '../support/until.ts'

/** A tracker keeps 100,000: those of an outage of 100 s, longer than any of these. */
const PER_SECOND = 1_000
/** What is published before something happens, and after it. */
const STEADY_VIEWS = 3_000
/** More than are published in any of these. */
const MOST_VIEWS = 300_000
/** Counting may stand still for so long after the nodes that are left answer a new channel. */
const STANDSTILL_MS = 30_000
/** What a busy machine may take. */
const SLACK_MS = 3_000

/** With what RabbitMQ does by default when nodes lose sight of each other, which is nothing. */
let cluster: RabbitmqCluster
let version: string
before(async () => {
  cluster = await startRabbitmqCluster()
  version = `RabbitMQ ${(await cluster.nodes[0]!.ctl('version')).trim()}`
})
after(() => cluster.stop())

interface Case {
  /** Default: as many as are published until all is well again. */
  views?: number
  /** Whose books they are in: a publisher's of the tests, which sends bad ones and repeats some too, or our tracker's. */
  publisher: 'ledger' | 'tracker'
  /** Whether service and publisher begin on the node that leads the queue, or on another. */
  clients: 'on the leader' | 'on a follower'
  /** The service must notice, and say so. */
  isNoticed: boolean
  fault(nodes: Nodes, system: ClusteredSystem): Promise<void>
  /** After it counts again, and while views are still published. */
  heal(nodes: Nodes, system: ClusteredSystem): Promise<void>
}

interface Nodes {
  leader: ClusterNode
  followers: [ClusterNode, ClusterNode]
  /** Service and publisher try it first. */
  clients: ClusterNode
}

/** Runs the case, and tells how long counting stood still. */
async function survives(
  t: TestContext,
  { views, publisher, clients, isNoticed, fault, heal }: Case,
  of = cluster,
): Promise<void> {
  assert.ok(
    of.nodes.every(({ isWell }) => isWell),
    'what the tests before did is undone',
  )
  const [leader, ...followers] = of.nodes as [ClusterNode, ClusterNode, ClusterNode]
  const nodes: Nodes = { leader, followers, clients: clients === 'on the leader' ? leader : followers[0] }
  const system = await clusteredSystem(t, { cluster: of, leader, clients: nodes.clients })
  assert.equal(await of.leaderOf(VIEWS_QUEUE, system.vhost), leader)
  const progress = new Progress(t, system.database)
  const said = watchReadiness(t, system)
  const enough = new AbortController()
  const pace = { perSecond: PER_SECOND, enough: enough.signal }
  const publishing =
    publisher === 'tracker'
      ? system.track({ views: MOST_VIEWS, ...pace })
      : system.publish({ views: views ?? MOST_VIEWS, bad: 0.002, ...pace })
  // It is heard of where it is waited for.
  publishing.catch(() => {})
  await until('it counts', () => progress.stored > STEADY_VIEWS)
  said.forget()

  const fromMs = performance.now()
  await fault(nodes, system)
  await untilQueueAnswers(system.urls, 120_000)
  const answeredMs = performance.now() - fromMs
  const { stored } = progress
  await until('it counts again', () => progress.stored > stored, 120_000)
  const standstillMs = progress.standstillMs(fromMs)
  t.diagnostic(
    `${version}: counting stood still for ${seconds(standstillMs)}; a new channel was answered after ${seconds(answeredMs)}`,
  )
  assert.ok(standstillMs < answeredMs + STANDSTILL_MS + SLACK_MS, `stood still for ${standstillMs} ms`)
  await heal(nodes, system)
  if (views === undefined) enough.abort()
  await publishing
  await system.service.untilReady()
  t.diagnostic(`it said: ${said.all().join(' | ') || 'nothing'}`)
  if (isNoticed) {
    assert.match(said.all().join(), /broker: /)
    assert.ok(said.isMeasured(), 'the metrics say so too')
  }
  await system.check()
}

function watchReadiness(t: TestContext, { service }: ClusteredSystem) {
  const said = new Set<string>()
  let isMeasured = false
  let isOver = false
  t.after(() => {
    isOver = true
  })
  void (async () => {
    while (!isOver) {
      const readiness = await service.readiness()
      if (readiness !== 'ready') said.add(readiness)
      if (readiness.includes('broker: '))
        isMeasured ||= (await service.metric('postviews_ready{part="broker"}')) === 0
      await sleep(50)
    }
  })()
  return { forget: () => said.clear(), all: () => [...said], isMeasured: () => isMeasured }
}

/** RabbitMQ 4.3, which no longer has Mnesia, knows of none. */
const PARTITIONS = 'P = try rabbit_node_monitor:partitions() catch error:undef -> [] end, {nodes(), P}.'

/** Lets the node reach the others again. Where the two sides have gone on without each other, one has to be started anew. */
async function heal(node: ClusterNode, of = cluster): Promise<void> {
  await of.heal(node)
  await settlePartition(node, of)
}

async function settlePartition(node: ClusterNode, of = cluster): Promise<void> {
  const [other] = of.nodes.filter(each => each !== node)
  let status = ''
  await until(
    'the nodes see each other',
    async () => {
      status = await other!.ctl('eval', PARTITIONS)
      return status.includes(node.name)
    },
    60_000,
  )
  if (!/\[\]\}/.test(status)) await node.restart()
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`
}

describe('of three brokers', () => {
  test('the leader of the queue is killed while 50,000 views are published and counted', t =>
    survives(t, {
      publisher: 'ledger',
      views: 50_000,
      clients: 'on a follower',
      isNoticed: false,
      fault: ({ leader }) => leader.kill(),
      heal: ({ leader }) => leader.start(),
    }))

  test('the node that has all connections, and leads the queue, is killed', t =>
    survives(t, {
      publisher: 'tracker',
      clients: 'on the leader',
      isNoticed: true,
      fault: ({ leader }) => leader.kill(),
      heal: ({ leader }) => leader.start(),
    }))

  test('one is cut off from the others, with all connections, and comes back', t =>
    survives(t, {
      publisher: 'ledger',
      clients: 'on a follower',
      isNoticed: true,
      fault: ({ clients }) => cluster.isolate(clients),
      heal: ({ clients }) => heal(clients),
    }))

  test('the leader is cut off from the others, with all connections, and comes back', t =>
    survives(t, {
      publisher: 'ledger',
      clients: 'on the leader',
      isNoticed: true,
      fault: ({ leader }) => cluster.isolate(leader),
      heal: ({ leader }) => heal(leader),
    }))

  test('two are down, and come back', t =>
    survives(t, {
      publisher: 'tracker',
      clients: 'on the leader',
      isNoticed: true,
      async fault({ followers }, { service }) {
        await Promise.all(followers.map(node => node.kill()))
        await until('it says so', async () => /broker: /.test(await service.readiness()))
        await sleep(10_000)
        await followers[0].start()
      },
      heal: ({ followers }) => followers[1].start(),
    }))

  test('one hangs for 60 s, with all connections', t => {
    let hungAt = 0
    return survives(t, {
      publisher: 'tracker',
      clients: 'on the leader',
      isNoticed: true,
      async fault({ leader }) {
        hungAt = performance.now()
        leader.pause()
      },
      async heal({ leader }) {
        await sleep(Math.max(0, hungAt + 60_000 - performance.now()))
        leader.resume()
        await settlePartition(leader)
      },
    })
  })

  test('each is stopped and started in turn', async t => {
    const system = await clusteredSystem(t, {
      cluster,
      leader: cluster.nodes[0]!,
      clients: cluster.nodes[0]!,
    })
    const progress = new Progress(t, system.database)
    const enough = new AbortController()
    const pace = { perSecond: PER_SECOND, enough: enough.signal }
    const publishing = system.publish({ views: MOST_VIEWS, bad: 0.002, ...pace })
    await until('it counts', () => progress.stored > STEADY_VIEWS)
    const fromMs = performance.now()
    for (const node of cluster.nodes) {
      await node.restart()
      const { stored } = progress
      await until('it counts', () => progress.stored > stored)
    }
    const standstillMs = progress.standstillMs(fromMs)
    t.diagnostic(`${version}: counting stood still for at most ${seconds(standstillMs)}`)
    // The two that are left answer a new channel all the time.
    assert.ok(standstillMs < STANDSTILL_MS + SLACK_MS, `stood still for ${standstillMs} ms`)
    enough.abort()
    await publishing
    await system.check()
  })
})
