/** The service is killed with work in hand, at points that matter: fault 1. At random: see `system.test.ts`. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { EXCHANGE, ROUTING_KEY } from '@postviews/client/src/index.ts'
import { SQLITE_POINTS } from '../support/die-at.ts'
import { ENGINES, MYSQL, SQLITE } from '../support/engines.ts'
import { countRows } from '../support/invariants.ts'
import { otherSession, storeOn } from '../support/mysql.ts'
import { plan } from '../support/planned.ts'
import { COUNTED, type Service } from '../support/service.ts'
import { createSystem, type TestSystem } from '../support/system.ts'
import { until } from '../support/until.ts'

const VIEWS = 1_000
/** So small that the first batch is not all there is. */
const SMALL_BATCHES = { BATCH_EVENTS: '200' }
/** So few that two batches are in hand before any is acknowledged. */
const FEW = 5

describe('killed', () => {
  for (const point of SQLITE_POINTS) {
    test(`${point} of its batch, on SQLite`, async t => {
      const system = await createSystem(t, { database: await SQLITE.create(t), settings: SMALL_BATCHES })
      await system.publish(plan({ views: VIEWS }))
      const service = await startDying(system, point)
      assert.equal((await service.exited).why, 'SIGKILL')
      await isDeliveredAgain(system, point === 'after the commit' ? 'kept' : 'not kept')
    })
  }

  for (const engine of ENGINES) {
    test(`after the commit, with the acknowledgement on its way, on ${engine.name}`, async t => {
      const system = await createSystem(t, { database: await engine.create(t), settings: SMALL_BATCHES })
      await system.publish(plan({ views: VIEWS }))
      const service = await system.start()
      system.tap.onMethod(({ name }) => {
        if (name !== 'ack') return undefined
        service.kill('SIGKILL')
        system.tap.onMethod(() => undefined)
        return 'reset'
      })
      assert.equal((await service.exited).why, 'SIGKILL')
      await isDeliveredAgain(system, 'kept')
    })
  }

  test(`with its second batch committed and its first one not, on ${MYSQL.name}`, async t => {
    const database = await MYSQL.create(t)
    // As many as that in each, however slowly they come.
    const settings = { BATCH_EVENTS: String(FEW), BATCH_WAIT_MS: '5000' }
    const system = await createSystem(t, { database, settings })
    await (await storeOn(t, database.url)).migrate()
    const planned = plan({ views: 2 * FEW, twice: 0, bad: 0, eventsPerMessage: 1, withinSeconds: 1 })
    // Whoever waits for an id keeps ids that are less from being inserted as well: so the first is the least.
    const inOrder = planned.messages
      .toSorted((one, other) => (one.ids[0]! < other.ids[0]! ? -1 : 1))
      // Through one queue: the broker hands them over in this order.
      .map(message => ({ ...message, exchange: EXCHANGE, routingKey: ROUTING_KEY }))
    const held = inOrder[0]!.ids[0]!.replaceAll('-', '')
    const other = await otherSession(t, database.url)
    await other.sql('START TRANSACTION')
    await other.sql(`INSERT INTO post_views (post_uuid, event_id) VALUES ('held', x'${held}')`)
    await system.publish(planned, inOrder)
    const service = await system.start()
    await service.untilReady()
    await until('the second batch is committed', async () => (await service.metric(COUNTED)) === FEW)
    const { unacknowledged } = system.tap
    await service.end('SIGKILL')
    await other.sql('ROLLBACK')
    assert.equal(unacknowledged, 2 * FEW, 'nothing is acknowledged before what was delivered first')
    await isDeliveredAgain(system, 'kept')
  })
})

function startDying(system: TestSystem, point: string): Promise<Service> {
  const dieAt = new URL('../support/die-at.ts', import.meta.url).href
  const { settings } = system.surroundings
  return system.start({ nodeOptions: ['--import', dieAt], settings: { ...settings, DIE_AT: point } })
}

async function isDeliveredAgain(system: TestSystem, first: 'kept' | 'not kept'): Promise<void> {
  const { tap, database } = system
  assert.ok(tap.unacknowledged > 0, 'deliveries were in hand')
  assert.equal((await countRows(database)) > 0, first === 'kept')
  await system.start()
  await system.check()
  assert.ok(tap.redelivered > 0, 'what was in hand is delivered again')
}
