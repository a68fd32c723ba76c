/** The broker restarts, dies, has no memory left, or gives up on messages: faults 3, 10 and 18. */

import assert from 'node:assert/strict'
import { after, before, describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { DEAD_QUEUE, VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { type Rabbitmq, startRabbitmq } from '../../tools/stack/rabbitmq.ts'
import { SQLITE } from '../support/engines.ts'
import { countRows, untilStored } from '../support/invariants.ts'
import { plan } from '../support/planned.ts'
import { messageCount, onChannel, sendTo } from '../support/published.ts'
import { postviews } from '../support/service.ts'
import { createSystem, declareQueues, type TestSystem } from '../support/system.ts'
import { until } from '../support/until.ts'

const VIEWS = 3_000
const OUTAGE_MS = process.env['FULL'] === '1' ? 60_000 : 5_000
const DELIVERY_LIMIT = 3
const KILLS = 5

let broker: Rabbitmq
before(async () => {
  broker = await startRabbitmq()
})
after(() => broker.stop())

/** On a virtual host of its own. */
async function systemOn(t: TestContext): Promise<TestSystem & { vhost: string }> {
  const vhost = await broker.vhost()
  return {
    ...(await createSystem(t, { database: await SQLITE.create(t), broker: vhost })),
    vhost: vhost.name,
  }
}

describe('the broker', () => {
  for (const [what, stop, start] of [
    ['is stopped and started', () => broker.ctl('stop_app'), () => broker.ctl('start_app')],
    ['is killed and started', () => broker.kill(), () => broker.restart()],
  ] as const) {
    test(`${what}: the service says that it is away, and goes on by itself`, async t => {
      const { database, surroundings, ...system } = await systemOn(t)
      const service = await system.start()
      await service.untilReady()
      await broker.settle()
      const publishing = system.publish(plan({ views: VIEWS }))
      await untilStored(database, VIEWS / 10)
      await stop()
      const ends = sleep(OUTAGE_MS)
      await until('it says so', async () => /\bbroker: /.test(await service.readiness()))
      await ends
      assert.match(await service.readiness(), /\bbroker: /)
      await start()
      await publishing
      await service.untilReady()
      await system.check()
    })
  }
})

describe('an alarm of the broker', () => {
  for (const [what, set, clear] of [
    ['memory', ['set_vm_memory_high_watermark', '0.000001'], ['set_vm_memory_high_watermark', '0.4']],
    ['disk', ['set_disk_free_limit', '900000GB'], ['set_disk_free_limit', '1MB']],
  ] as const) {
    test(`for ${what}: bad views wait to be dead letters, and their neighbours do not`, async t => {
      const { tap, database, surroundings, ...system } = await systemOn(t)
      const planned = plan({ views: VIEWS, twice: 0, bad: 0.02 })
      await system.publish(planned)
      t.after(() => broker.ctl(...clear))
      await broker.ctl(...set)
      const service = await system.start()
      await untilStored(database, VIEWS)

      const withBad = planned.messages.filter(({ ids }) => ids.some(id => planned.bad.has(id))).length
      await until(
        `all but ${withBad} are acknowledged`,
        () => tap.delivered === planned.messages.length && tap.unacknowledged === withBad,
      )
      assert.equal(await messageCount(surroundings.amqpUrl, DEAD_QUEUE), 0)
      // Told every ten seconds, of those that have not been answered for ten.
      await until(
        'it says what they wait for',
        () =>
          service.logged('view.dead_letter_waits').some(({ unanswered }) => unanswered === planned.bad.size),
        45_000,
      )
      assert.equal(service.isRunning, true)
      await broker.ctl(...clear)
      await system.check()
      assert.equal(tap.refused, 0)
    })
  }
})

test('what a delivery limit took out of the queue can be replayed, and the sums are exact', async t => {
  const { tap, database, surroundings, vhost, ...system } = await systemOn(t)
  await broker.api('PUT', `/policies/${vhost}/limit`, {
    pattern: `^${VIEWS_QUEUE}$`,
    definition: { 'delivery-limit': DELIVERY_LIMIT },
    'apply-to': 'queues',
  })
  await system.publish(plan({ views: VIEWS }))
  for (let kill = 1; kill <= KILLS; kill++) {
    const service = await system.start()
    tap.onMethod(({ name }) => {
      if (name !== 'ack') return undefined
      service.kill('SIGKILL')
      tap.onMethod(() => undefined)
      return 'reset'
    })
    assert.equal((await service.exited).why, 'SIGKILL')
  }
  await until('it gives up on some', async () => (await messageCount(surroundings.amqpUrl, DEAD_QUEUE)) > 0)

  await system.start()
  await until('the queue is empty', async () => (await messageCount(surroundings.amqpUrl, VIEWS_QUEUE)) === 0)
  assert.ok((await countRows(database)) < VIEWS, 'some views are missing')
  const replayed = await postviews(surroundings, 'dead', 'replay', '--reason', 'delivery_limit')
  assert.match(replayed.output, /^replayed [1-9]/)
  await system.check()
})

test('what a delivery limit takes out of the queue is not lost while there is no postviews.dead', async t => {
  // The broker tries again after 3 minutes to dead-letter what no queue took. A queue learns the time as it is declared, and
  // the broker forgets it when it is started again.
  await broker.ctl('eval', 'application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, 1000).')
  const { surroundings, vhost } = await systemOn(t)
  const { amqpUrl } = surroundings
  await broker.api('PUT', `/policies/${vhost}/limit`, {
    pattern: `^${VIEWS_QUEUE}$`,
    definition: { 'delivery-limit': 1 },
    'apply-to': 'queues',
  })
  const GIVEN_UP = 40
  await sendTo(
    amqpUrl,
    Array.from({ length: GIVEN_UP }, () => VIEWS_QUEUE),
    '{"post_uuid":"a-post"}',
  )
  await onChannel(amqpUrl, channel => channel.deleteQueue(DEAD_QUEUE))
  for (let times = 0; times < 2; times++) {
    await onChannel(amqpUrl, async channel => {
      for (let n = 0; n < GIVEN_UP; n++)
        await until('it is there', async () => (await channel.get(VIEWS_QUEUE)) !== false)
    })
  }
  await until('the queue hands out none', async () => (await messageCount(amqpUrl, VIEWS_QUEUE)) === 0)
  await declareQueues(amqpUrl)
  await until('all are there', async () => (await messageCount(amqpUrl, DEAD_QUEUE)) === GIVEN_UP)
  const { output } = await postviews(surroundings, 'dead', 'list', '--limit', '0')
  assert.match(output, new RegExp(`${GIVEN_UP} delivery_limit: `))
})
