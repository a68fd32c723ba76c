/** The service is killed with work in hand, at points that matter: fault 1. At random: see `system.test.ts`. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SQLITE_POINTS } from './support/die-at.ts'
import { ENGINES, SQLITE } from './support/engines.ts'
import { countRows } from './support/invariants.ts'
import { plan } from './support/planned.ts'
import type { Service } from './support/service.ts'
import { createSystem, type TestSystem } from './support/system.ts'

const VIEWS = 1_000
/** So small that the first batch is not all there is. */
const SMALL_BATCHES = { BATCH_EVENTS: '200' }

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
})

function startDying(system: TestSystem, point: string): Promise<Service> {
  const dieAt = new URL('./support/die-at.ts', import.meta.url).href
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
