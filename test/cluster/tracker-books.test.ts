/**
 * The tracker's own books while nodes of a cluster die, hang, are cut off or have lost their majority: what it says is
 * confirmed is there, what it dropped was never sent, and it goes on by itself, in time. Row 22 of the faults.
 */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { connect, type SocketOptions } from 'amqplib'
import {
  type ClusterNode,
  type ClusterVhost,
  type RabbitmqCluster,
  startRabbitmqCluster,
} from '../../tools/stack/rabbitmq-cluster.ts'
import {
  assertAddsUp,
  type TestTracker,
  takeNumbered,
  testTracker,
  trackSteadily,
} from '../support/published.ts'
import { until } from '../support/until.ts'

/** A late confirm, another host, and a new channel there: 20 s, a second to notice it, and 20 s to spare on a busy machine. */
const LONGEST_STANDSTILL_MS = 45_000
/** Beyond what the nodes that are well need themselves, before one of them answers a new channel. */
const LONGER_THAN_NODES_MS = 30_000
const PROBE_MS = 5_000
const LOOK_MS = 20

interface Publishing {
  cluster: RabbitmqCluster
  vhost: ClusterVhost
  tracker: TestTracker
  /** The nodes in the order in which the tracker tries them. It publishes on the first, which leads the queue. */
  nodes: readonly [ClusterNode, ClusterNode, ClusterNode]
  /** The longest time without a confirm since the last call. */
  standstillMs(): number
  /**
   * Stops tracking, waits until nothing is pending, and holds the tracker's books against the queue, as a node that is well
   * tells it.
   */
  settle(by: ClusterNode): Promise<void>
}

async function publishSteadily(t: TestContext, maxBufferedEvents?: number): Promise<Publishing> {
  const cluster = await startRabbitmqCluster()
  t.after(() => cluster.stop())
  const vhost = await cluster.vhost()
  const dropped = new Set<number>()
  const tracker = testTracker(t, {
    url: vhost.urls,
    maxWaitMs: 20,
    ...(maxBufferedEvents === undefined ? {} : { maxBufferedEvents }),
    // As they are unless told: it is the times that are on trial.
    retryMinMs: 100,
    retryMaxMs: 10_000,
    onDrop: ({ user_id }) => dropped.add(Number(user_id)),
  })
  await until('it is connected', () => tracker.stats().connected)
  const load = trackSteadily(t, tracker, 1)
  await until('it publishes', () => tracker.stats().confirmed > 100)
  const [first] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode]
  assert.equal(await cluster.leaderOf(VIEWS_QUEUE, vhost.name), first)

  return {
    cluster,
    vhost,
    tracker,
    nodes: cluster.nodes as [ClusterNode, ClusterNode, ClusterNode],
    standstillMs: watchConfirms(t, tracker),
    settle: async by => {
      const last = await load.stop()
      assert.equal(await tracker.flush(LONGEST_STANDSTILL_MS), 0)
      assertAddsUp(tracker)
      const { accepted, confirmed, dropped: count, republished } = tracker.stats()
      assert.deepEqual([accepted, count], [last, dropped.size])
      const url = vhost.urls[cluster.nodes.indexOf(by)]!
      const there = new Map<number, string>()
      await until('all that was confirmed is there', async () => {
        for (const [number, id] of await takeNumbered(url)) there.set(number, id)
        // Of a probe.
        there.delete(Number.NaN)
        return there.size >= confirmed
      })
      const wrong: number[] = []
      for (let n = 1; n <= last; n++) if (there.has(n) === dropped.has(n)) wrong.push(n)
      assert.deepEqual(wrong, [])
      assert.equal(there.size, confirmed)
      t.diagnostic(`${confirmed} confirmed, ${count} dropped, ${republished} sent again`)
    },
  }
}

function watchConfirms(t: TestContext, tracker: TestTracker): () => number {
  let longestMs = 0
  let { confirmed } = tracker.stats()
  let confirmedAtMs = performance.now()
  const look = () => {
    const now = performance.now()
    longestMs = Math.max(longestMs, now - confirmedAtMs)
    if (tracker.stats().confirmed === confirmed) return
    confirmed = tracker.stats().confirmed
    confirmedAtMs = now
  }
  const timer = setInterval(look, LOOK_MS)
  t.after(() => clearInterval(timer))
  return () => {
    look()
    const saidMs = Math.round(longestMs)
    longestMs = 0
    return saidMs
  }
}

async function untilItGoesOn(
  t: TestContext,
  { tracker, standstillMs }: Publishing,
  what: string,
  longestMs = () => LONGEST_STANDSTILL_MS,
): Promise<void> {
  const { confirmed } = tracker.stats()
  await until('it publishes again', () => tracker.stats().confirmed > confirmed + 500, 150_000)
  const ms = standstillMs()
  t.diagnostic(`${what}: no confirm for ${ms} ms`)
  assert.ok(ms < longestMs(), `${ms} ms`)
}

/** How long it takes, from now on, until the node confirms something on a channel that was opened for it. */
async function untilConfirmed(url: string): Promise<number> {
  const since = performance.now()
  while (!(await isConfirmed(url))) await sleep(100)
  return performance.now() - since
}

async function isConfirmed(url: string): Promise<boolean> {
  const socket = new AbortController()
  const options: SocketOptions & { signal: AbortSignal } = { signal: socket.signal }
  const probe = async () => {
    const connection = await connect(url, options)
    connection.on('error', () => {})
    const channel = await connection.createConfirmChannel()
    channel.sendToQueue(VIEWS_QUEUE, Buffer.from('{"post_uuid":"probe"}'), { persistent: true })
    await channel.waitForConfirms()
    return true
  }
  try {
    return await Promise.race([probe(), sleep(PROBE_MS, false)])
  } catch {
    return false // Refused.
  } finally {
    socket.abort()
  }
}

test('its node killed, again and again: the next one has its turn, and every event is there', async t => {
  const publishing = await publishSteadily(t)
  const { nodes, settle } = publishing
  for (const node of nodes) {
    await node.kill()
    await untilItGoesOn(t, publishing, `${node.name} killed`)
    await node.start()
  }
  await settle(nodes[0])
})

test('its node stopped for 60 s: it goes on soon after the others do, and nothing is lost or doubled', async t => {
  const publishing = await publishSteadily(t)
  const { nodes, vhost, settle } = publishing
  const [stopped, other] = nodes
  stopped.pause()
  t.after(() => stopped.resume())
  const resumed = sleep(60_000).then(() => stopped.resume())
  // RabbitMQ 3.10 answers no new channel before it has given the node up, or has it back.
  let nodesMs = Number.POSITIVE_INFINITY
  const probed = untilConfirmed(vhost.urls[1]!).then(ms => {
    nodesMs = ms
    t.diagnostic(`a new channel on another node confirms after ${Math.round(ms)} ms`)
  })
  await untilItGoesOn(t, publishing, 'stopped', () => nodesMs + LONGER_THAN_NODES_MS)
  await Promise.all([probed, resumed])
  await untilItGoesOn(t, publishing, 'resumed')
  await settle(other)
})

test('its node, the leader, cut off for 30 s and healed: it leaves the connection that is stuck for good', async t => {
  const publishing = await publishSteadily(t)
  const { cluster, nodes, settle } = publishing
  const [isolated, other] = nodes
  await cluster.isolate(isolated)
  const healed = sleep(30_000).then(() => cluster.heal(isolated))
  await untilItGoesOn(t, publishing, 'cut off')
  await healed
  await untilItGoesOn(t, publishing, 'healed')
  await settle(other)
})

test('two of three killed: what does not fit is dropped and told, and it goes on by itself when one is back', async t => {
  const publishing = await publishSteadily(t, 5_000)
  const { nodes, tracker, standstillMs, settle } = publishing
  const [alone, second, third] = nodes
  await Promise.all([second.kill(), third.kill()])
  const dropped = () => tracker.stats().droppedByReason.buffer_full
  await until('the buffer is full', () => dropped() > 1_000)
  const { confirmed } = tracker.stats()
  // Longer than a late confirm, and than each host's turn.
  await sleep(40_000)
  assert.equal(tracker.stats().confirmed, confirmed)
  assertAddsUp(tracker)
  await second.start()
  const since = performance.now()
  await until('it publishes again', () => tracker.stats().confirmed > confirmed + 500, LONGEST_STANDSTILL_MS)
  t.diagnostic(`${Math.round(performance.now() - since)} ms after the second node was back`)
  standstillMs()
  await third.start()
  await untilItGoesOn(t, publishing, 'the third node back')
  await settle(alone)
})
