/**
 * A quorum queue that does not answer any more, as one that has lost its majority: its connection has its heartbeats, and the
 * broker says that the queue is empty.
 */

import assert from 'node:assert/strict'
import { after, before, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { DEAD_QUEUE, VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { type Rabbitmq, startRabbitmq } from '../../tools/stack/rabbitmq.ts'
import { atEnd } from '../support/at-end.ts'
import { SQLITE } from '../support/engines.ts'
import { untilStored } from '../support/invariants.ts'
import { plan } from '../support/planned.ts'
import { DUPLICATES } from '../support/service.ts'
import { createSystem, type TestSystem } from '../support/system.ts'
import { until } from '../support/until.ts'

const VIEWS = 300
/** Quiet for 5 s, asked for 10 s, and what a busy machine may take. */
const NOTICED_MS = 15_000 + 10_000
/** The next look at a queue that answers again: the one before it may have just begun, and then there is a pause. */
const GOES_ON_MS = 30_000

/** A quiet queue is asked every 5 s. */
const SEVERAL_TIMES_MS = 20_000

let broker: Rabbitmq
before(async () => {
  broker = await startRabbitmq()
})
after(() => broker.stop())

async function systemOn(
  t: TestContext,
): Promise<TestSystem & { tell(what: 'suspend' | 'resume', queue: string): Promise<void> }> {
  const vhost = await broker.vhost()
  const system = await createSystem(t, { database: await SQLITE.create(t), broker: vhost })
  const tell = async (what: 'suspend' | 'resume', queue: string) => {
    await broker.ctl(
      'eval',
      `{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"${vhost.name}">>, queue, <<"${queue}">>)),
       {Name, _} = amqqueue:get_pid(Q), sys:${what}(Name).`,
    )
  }
  return { ...system, tell }
}

test('a queue that is quiet is asked, and left when it does not answer; it is consumed again when it does', async t => {
  const system = await systemOn(t)
  const service = await system.start()
  await service.untilReady()
  await system.tell('suspend', VIEWS_QUEUE)
  atEnd(t, () => system.tell('resume', VIEWS_QUEUE).catch(() => {}))
  const isNoticed = async () => /broker: /.test(await service.readiness())
  await until('it says so', isNoticed, NOTICED_MS)
  assert.match(String(service.logged('broker.lost').at(-1)?.['error']), /has not answered within/)
  const { text } = await service.get('/api/v1/status')
  assert.equal(JSON.parse(text).queued, null)
  assert.equal(await service.metric('postviews_broker_up'), 0)
  assert.equal(await service.metric('postviews_ready{part="broker"}'), 0)
  await system.tell('resume', VIEWS_QUEUE)
  await service.untilReady(GOES_ON_MS)
  await system.publish(plan({ views: VIEWS }))
  await system.check()
})

test('a queue in which nothing is stays consumed, and a message in it is handed to the real consumer', async t => {
  const system = await systemOn(t)
  const service = await system.start()
  await service.untilReady()
  const connected = service.logged('broker.connected').length
  await sleep(SEVERAL_TIMES_MS)
  await system.publish(plan({ views: VIEWS, twice: 0 }))
  await untilStored(system.database, VIEWS)
  assert.equal(service.logged('broker.connected').length, connected)
  assert.equal(await service.metric(DUPLICATES), 0)
  await system.check()
})

test('a dead letter that is not confirmed for long is sent again on another connection, and there once', async t => {
  const system = await systemOn(t)
  const service = await system.start()
  await service.untilReady()
  await system.tell('suspend', DEAD_QUEUE)
  atEnd(t, () => system.tell('resume', DEAD_QUEUE).catch(() => {}))
  const publishing = system.publish(plan({ views: VIEWS, bad: 0.05 }))
  await untilStored(system.database, VIEWS)
  await until(
    'the connection is given up',
    () => service.logged('broker.lost').some(({ connection }) => connection === 'publisher'),
    NOTICED_MS + 10_000,
  )
  await system.tell('resume', DEAD_QUEUE)
  await publishing
  await system.check()
})
