/** The broker ends a consumer that has not acknowledged for too long: fault 23. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startRabbitmq } from '../tools/stack/rabbitmq.ts'
import { atEnd } from './support/at-end.ts'
import { MARIADB } from './support/engines.ts'
import { untilStored } from './support/invariants.ts'
import { otherSession } from './support/mysql.ts'
import { goodEvent, plan, planOf } from './support/planned.ts'
import { createSystem } from './support/system.ts'
import { until } from './support/until.ts'

const VIEWS = 500

test('the service says within seconds that nothing moves, until it has counted again', async t => {
  const broker = await startRabbitmq({ config: ['consumer_timeout = 2000'] })
  atEnd(t, () => broker.stop())
  // It looks once a minute otherwise.
  await broker.ctl('eval', 'application:set_env(rabbit, channel_tick_interval, 1000).')
  const database = await MARIADB.create(t)
  const system = await createSystem(t, { database, broker: await broker.vhost() })
  const service = await system.start()
  await system.publish(plan({ views: VIEWS, seed: 1 }))
  await untilStored(database, VIEWS)
  await service.untilReady()

  const other = await otherSession(t, database.url)
  // Batches wait for it, and the store answers whoever asks whether it takes writes.
  await other.sql('LOCK TABLES post_views WRITE')
  await system.publish(
    planOf([[goodEvent({ postUuid: 'a-post', viewedAt: Math.floor(Date.now() / 1_000) })]]),
  )
  const ended = () => service.logged('broker.lost').some(({ error }) => /timeout/i.test(String(error)))
  await until('the broker has ended it', ended)
  const said: string[] = []
  await until('it consumes again', async () => {
    said.push(await service.readiness())
    return service.logged('broker.connected').length > 1
  })
  // For as long as the lock lasts: the store answers, and the broker is there.
  for (let times = 0; times < 20; times++) said.push(await service.readiness())
  assert.ok(!said.includes('ready'), said.join())
  assert.match(said.at(-1)!, /consumer: the broker took back what it had in hand/)

  await other.sql('UNLOCK TABLES')
  await service.untilReady(60_000)
  await system.check()
})
