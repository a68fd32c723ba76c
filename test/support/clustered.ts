/** Service, publisher and ledger on a cluster of brokers; measures how long counting stops when a node fails. */

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { connect, type SocketOptions } from 'amqplib'
import type { ClusterNode, RabbitmqCluster } from '../../tools/stack/rabbitmq-cluster.ts'
import { atEnd } from './at-end.ts'
import { SQLITE, type TestDatabase } from './engines.ts'
import { assertInvariants, countRows } from './invariants.ts'
import { Ledger, type LedgerMessage, publish } from './ledger.ts'
import { type Plan, type PlanOptions, plan } from './planned.ts'
import { testTracker } from './published.ts'
import { type Service, type Surroundings, startService, UNACKNOWLEDGED } from './service.ts'
import { declareQueues } from './system.ts'
import { until } from './until.ts'

export interface Pace {
  /** Events per second. */
  perSecond: number
  /** Ends the publishing when it is aborted. */
  enough: AbortSignal
}

export interface ClusteredSystem {
  vhost: string
  /** The virtual host's URLs, in the order in which the nodes are tried. */
  urls: readonly string[]
  surroundings: Surroundings
  database: TestDatabase
  service: Service
  /**
   * Publishes at a steady pace until `enough` is aborted, so that faults happen under load. `check` requires all of it to be
   * stored.
   */
  publish(options: PlanOptions & Pace): Promise<void>
  /** The same with our own tracker. Settles once the tracker has confirmed all of it, and dropped nothing. */
  track(options: { views: number } & Pace): Promise<void>
  /** Waits until everything is drained, stops the service, and checks every invariant. */
  check(): Promise<void>
}

const FLUSH_MS = 90_000

export interface ClusteredOptions {
  cluster: RabbitmqCluster
  /** The queues are declared on this node, so it becomes their leader. */
  leader: ClusterNode
  /** The node that service and publisher try first. */
  clients: ClusterNode
}

export async function clusteredSystem(t: TestContext, options: ClusteredOptions): Promise<ClusteredSystem> {
  const { cluster, leader, clients } = options
  const { name, urls: inOrder } = await cluster.vhost()
  await declareQueues(inOrder[cluster.nodes.indexOf(leader)]!)
  const first = cluster.nodes.indexOf(clients)
  const urls = [...inOrder.slice(first), ...inOrder.slice(0, first)]
  const database = await SQLITE.create(t)
  const surroundings = { amqpUrl: urls.join(','), databaseUrl: database.url }
  const ledger = await Ledger.open(t)
  const service = await startService(t, surroundings)
  await service.untilReady()
  const plans: Plan[] = []
  return {
    vhost: name,
    urls,
    surroundings,
    database,
    service,
    publish({ perSecond, enough, ...what }) {
      const planned = plan({ ...what, byExchange: true })
      plans.push(planned)
      return publish(urls, ledger, paced(planned.messages, { perSecond, enough }))
    },
    async track({ views, ...pace }) {
      const planned = plan({ views, bad: 0, twice: 0, byExchange: true })
      plans.push(planned)
      const tracker = testTracker(t, { url: urls, retryMinMs: 100, retryMaxMs: 10_000 })
      const sent: LedgerMessage[] = []
      for await (const message of paced(planned.messages, pace)) {
        for (const event of [JSON.parse(String(message.body))].flat()) tracker.trackView(event)
        sent.push(message)
      }
      assert.equal(await tracker.flush(FLUSH_MS), 0)
      const accepted = sent.reduce((sum, { ids }) => sum + ids.length, 0)
      const stats = tracker.stats()
      assert.deepEqual([stats.accepted, stats.confirmed, stats.dropped], [accepted, accepted, 0])
      await ledger.write('attempted', sent)
      await ledger.write('confirmed', sent)
    },
    async check() {
      // When a node was cut off, the consumers on it are gone, but their deliveries may stay unacknowledged for half a minute
      // longer.
      const isNothingHeld = async () => {
        const depths = await cluster.nodes[0]!.ctl('list_queues', '-p', name, 'name', 'messages')
        return new RegExp(`^${VIEWS_QUEUE}\\s+0$`, 'm').test(depths)
      }
      await until('no consumer holds anything', isNothingHeld, 120_000)
      await until('nothing is in hand', async () => (await service.metric(UNACKNOWLEDGED)) === 0, 90_000)
      await assertInvariants({
        surroundings,
        database,
        ledger,
        plans,
        services: [service],
        tap: { inHand: 0 },
      })
    },
  }
}

async function* paced(
  messages: readonly LedgerMessage[],
  { perSecond, enough }: Pace,
): AsyncGenerator<LedgerMessage> {
  const startedAt = performance.now()
  let events = 0
  for (const message of messages) {
    const aheadMs = (events / perSecond) * 1_000 - (performance.now() - startedAt)
    if (aheadMs > 20) await sleep(aheadMs)
    if (enough.aborted) return
    yield message
    events += message.ids.length
  }
}

const SAMPLE_MS = 25

/** Samples how many views are stored. */
export class Progress {
  readonly #samples: { atMs: number; stored: number }[] = []
  #isOver = false

  constructor(t: TestContext, database: TestDatabase) {
    atEnd(t, () => {
      this.#isOver = true
    })
    void this.#watch(database)
  }

  get stored(): number {
    return this.#samples.at(-1)?.stored ?? 0
  }

  /** The longest time without a new row, among those that began before `untilMs`. Times as of `performance.now()`. */
  standstillMs(fromMs: number, untilMs = performance.now()): number {
    let longest = 0
    let grewAt = fromMs
    let stored = -1
    for (const sample of this.#samples) {
      if (sample.atMs < fromMs) continue
      if (grewAt > untilMs) break
      if (sample.stored !== stored) {
        if (stored !== -1) longest = Math.max(longest, sample.atMs - grewAt)
        grewAt = sample.atMs
        stored = sample.stored
      }
    }
    return longest
  }

  async #watch(database: TestDatabase): Promise<void> {
    while (!this.#isOver) {
      const stored = await countRows(database).catch(() => this.stored)
      this.#samples.push({ atMs: performance.now(), stored })
      await sleep(SAMPLE_MS)
    }
  }
}

const ANSWER_MS = 3_000
/** A priority so low that running consumers get all messages. */
const LAST_PRIORITY = -10

/** Waits until some node lets a new channel consume our queue. */
export async function untilQueueAnswers(urls: readonly string[], deadlineMs: number): Promise<void> {
  let turn = 0
  await until('a new channel is answered', () => answers(urls[turn++ % urls.length]!), deadlineMs)
}

async function answers(url: string): Promise<boolean> {
  const socket = new AbortController()
  const late = setTimeout(() => socket.abort(), ANSWER_MS)
  const options: SocketOptions & { signal: AbortSignal } = { signal: socket.signal }
  try {
    const connection = await connect(url, options)
    const lost = new Promise<false>(resolve => {
      connection.on('error', () => resolve(false))
      connection.on('close', () => resolve(false))
    })
    const consumed = async () => {
      const channel = await connection.createChannel()
      await channel.prefetch(1)
      await channel.consume(VIEWS_QUEUE, () => {}, { priority: LAST_PRIORITY })
      return true
    }
    return await Promise.race([consumed(), lost])
  } catch {
    return false // The node is down, or hangs.
  } finally {
    clearTimeout(late)
    socket.abort()
  }
}
