/** Answers are lost, connections are cut or hang: faults 6 to 9, between the service and its broker or its database. */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { testMysql } from '../../tools/stack/for-tests.ts'
import { atEnd } from '../support/at-end.ts'
import { MYSQL, mysqlDatabase, SQLITE } from '../support/engines.ts'
import { countRows, untilStored } from '../support/invariants.ts'
import { isCommit } from '../support/mysql.ts'
import { plan } from '../support/planned.ts'
import { DUPLICATES } from '../support/service.ts'
import { createSystem, type TestSystem } from '../support/system.ts'
import { type Chunk, startTcpProxy, type TcpProxy, type Verdict } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

const VIEWS = 1_000
const HEARTBEAT_SECONDS = 2
const NOTICED_MS = 3 * HEARTBEAT_SECONDS * 1_000
/** What a busy machine may take to tell. */
const SLACK_MS = 1_500

/** On MariaDB or MySQL, with a proxy between it and the service. */
async function systemOnProxiedDatabase(
  t: TestContext,
): Promise<{ system: TestSystem; proxy: TcpProxy; url: string }> {
  const { url } = await testMysql()
  const proxy = await startTcpProxy(Number(new URL(url).port))
  atEnd(t, () => proxy.close())
  const settings = { BATCH_EVENTS: '200' }
  const system = await createSystem(t, { database: mysqlDatabase(url), settings })
  return { system, proxy, url: proxy.through(url) }
}

/** Of the view that a rehearsal records. */
const REHEARSED = 'trial.invalid'

/** Watches the statements to the database: where, in the first transaction that inserts views, is this chunk? */
function stepsOfBatch(decide: (step: 'insert' | 'count' | 'commit') => Verdict | undefined) {
  const inserting = new Set<number>()
  return ({ direction, bytes, connection }: Chunk): Verdict => {
    if (direction === 'to-client') return 'pass'
    // What a start tries out and undoes is no batch.
    if (bytes.includes('INSERT INTO post_views (') && !bytes.includes(REHEARSED)) {
      inserting.add(connection)
      return decide('insert') ?? 'pass'
    }
    if (!inserting.has(connection)) return 'pass'
    if (bytes.includes('INTO post_view_aggregates')) return decide('count') ?? 'pass'
    return isCommit(bytes) ? (decide('commit') ?? 'pass') : 'pass'
  }
}

describe('the way to the database', { concurrency: true }, () => {
  for (const step of ['insert', 'count', 'commit'] as const) {
    test(`the service is killed at the ${step} of a batch: nothing of it is kept, and all of it comes again`, async t => {
      const { system, proxy, url } = await systemOnProxiedDatabase(t)
      await system.publish(plan({ views: VIEWS }))
      const service = await system.start({ databaseUrl: url })
      let isReached = false
      proxy.intercept(
        stepsOfBatch(at => {
          if (at !== step) return undefined
          isReached = true
          service.kill('SIGKILL')
          return 'reset'
        }),
      )
      await until(`the ${step} of a batch has come`, () => isReached)
      assert.equal((await service.exited).why, 'SIGKILL')
      assert.ok(system.tap.unacknowledged > 0, 'deliveries were in hand')
      assert.equal(await countRows(system.database), 0)
      await system.start()
      await system.check()
    })
  }

  for (const verdict of ['pass-then-cut', 'pass-then-reset'] as const) {
    test(`the answer to a COMMIT is lost (${verdict}): the batch is counted once`, async t => {
      const { system, proxy, url } = await systemOnProxiedDatabase(t)
      await system.publish(plan({ views: VIEWS, twice: 0 }))
      let isLost = false
      proxy.intercept(
        stepsOfBatch(step => {
          if (step !== 'commit' || isLost) return undefined
          isLost = true
          return verdict
        }),
      )
      const service = await system.start({ databaseUrl: url })
      await untilStored(system.database, VIEWS)
      assert.ok((await service.metric(DUPLICATES)) > 0, 'the batch was committed, and tried again')
      await system.check()
    })
  }

  for (const what of ['idle', 'busy'] as const) {
    test(`hangs while ${what}: the service says so, and goes on by itself`, async t => {
      const { system, proxy, url } = await systemOnProxiedDatabase(t)
      const service = await system.start({ databaseUrl: url })
      await service.untilReady()
      const planned = plan({ views: VIEWS, twice: 0 })
      if (what === 'idle') {
        proxy.swallow()
      } else {
        proxy.intercept(stepsOfBatch(step => (step === 'commit' ? 'swallow' : undefined)))
      }
      await system.publish(planned)
      await until('it says so', async () => /\bstore: /.test(await service.readiness()))
      // What hangs goes on hanging; new connections do not.
      proxy.pass()
      await system.check()
    })
  }
})

describe('the way to the broker', { concurrency: true }, () => {
  for (const verdict of ['cut', 'reset', 'swallow'] as const) {
    test(`the acknowledgement is lost (${verdict}): the batch is counted once`, async t => {
      const system = await createSystem(t, { database: await MYSQL.create(t) })
      await system.publish(plan({ views: VIEWS, twice: 0 }))
      const service = await system.start({ amqpUrl: withHeartbeat(system) })
      let isLost = false
      system.tap.onMethod(({ name }) => {
        if (name !== 'ack' || isLost) return undefined
        isLost = true
        return verdict
      })
      await untilStored(system.database, VIEWS)
      await until('the batch comes again', async () => (await service.metric(DUPLICATES)) > 0)
      assert.equal(isLost, true)
      await system.check()
    })
  }

  for (const what of ['idle', 'busy'] as const) {
    test(`hangs while ${what}: noticed within three heartbeats, and the service goes on by itself`, async t => {
      const system = await createSystem(t, { database: await SQLITE.create(t) })
      const { proxy } = system
      const planned = plan({ views: 5 * VIEWS })
      const service = await system.start({ amqpUrl: withHeartbeat(system) })
      await service.untilReady()
      if (what === 'busy') {
        void system.publish(planned)
        await untilStored(system.database, 1)
      }
      proxy.swallow()
      const hangsFrom = Date.now()
      await until('both connections are given up', () => service.logged('broker.lost').length >= 2)
      const tookMs =
        Math.max(...service.logged('broker.lost').map(({ time }) => Date.parse(String(time)))) - hangsFrom
      assert.ok(tookMs < NOTICED_MS + SLACK_MS, `took ${tookMs} ms`)
      assert.match(await service.readiness(), /\bbroker: /)
      proxy.pass()
      if (what === 'idle') await system.publish(planned)
      await system.check()
    })
  }

  test('is reset at each step of connecting and declaring in turn: connects in the end', async t => {
    await connectsAfterResets(t)
  })
})

function withHeartbeat({ proxy, surroundings }: TestSystem): string {
  return `${proxy.through(surroundings.amqpUrl)}?heartbeat=${HEARTBEAT_SECONDS}`
}

const SERVICES = 6
/** Answers of the broker from connecting to the last consumer, at the least; how many come in one piece varies. */
const STEPS = 15

/** Pauses between attempts grow, so several services share the steps. */
async function connectsAfterResets(t: TestContext): Promise<void> {
  const system = await createSystem(t, { database: await MYSQL.create(t) })
  await (await system.start()).untilReady()
  const services = Array.from({ length: SERVICES }, (_, number) => resetAtEverySixth(t, system, 1 + number))
  const reached = await Promise.all(services)
  t.diagnostic(`reset up to step ${reached.join(', ')}`)
  assert.ok(Math.min(...reached) > STEPS, `reset up to step ${reached}`)
  await system.publish(plan({ views: VIEWS }))
  await system.check()
}

/** Gives the last step at which a connection was reset before the service was ready all the same. */
async function resetAtEverySixth(t: TestContext, system: TestSystem, first: number): Promise<number> {
  const proxy = await startTcpProxy(Number(new URL(system.surroundings.amqpUrl).port))
  atEnd(t, () => proxy.close())
  const steps = new Map<number, number>()
  let resetAt = first
  proxy.intercept(({ direction, connection }) => {
    if (direction === 'to-server') return 'pass'
    const step = (steps.get(connection) ?? 0) + 1
    steps.set(connection, step)
    if (step < resetAt) return 'pass'
    resetAt += SERVICES
    return 'reset'
  })
  const service = await system.start({ amqpUrl: proxy.through(system.surroundings.amqpUrl) })
  await service.untilReady()
  return resetAt - SERVICES
}
