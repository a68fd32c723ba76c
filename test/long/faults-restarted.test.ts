/** The service is told to end under load, or its consumers are restarted in turn: faults 2 and 19. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ENGINES } from '../support/engines.ts'
import { countRows, untilStored } from '../support/invariants.ts'
import { plan } from '../support/planned.ts'
import { DUPLICATES, postviews } from '../support/service.ts'
import { createSystem } from '../support/system.ts'

const STOP_DEADLINE_MS = 20_000
const VIEWS = 1_000
/** So small that the first batch is not all there is. */
const SMALL_BATCHES = { BATCH_EVENTS: '200' }

describe('told to end under load', () => {
  for (const engine of ENGINES) {
    test(`ends in time and with 0, and nothing is delivered twice, on ${engine.name}`, async t => {
      const system = await createSystem(t, { database: await engine.create(t), settings: SMALL_BATCHES })
      const { tap } = system
      await system.publish(plan({ views: 5 * VIEWS, twice: 0 }))
      const service = await system.start()
      const told = Promise.withResolvers<number>()
      let left = 300
      tap.onMethod(({ name }) => {
        if (name !== 'deliver' || --left !== 0) return undefined
        service.kill('SIGTERM')
        told.resolve(Date.now())
        return undefined
      })
      const toldAt = await told.promise
      assert.deepEqual(await service.exited, { code: 0, why: 'exit code 0' })
      assert.ok(Date.now() - toldAt < STOP_DEADLINE_MS)
      assert.equal(tap.unacknowledged, 0)
      assert.ok((await countRows(system.database)) < 5 * VIEWS, 'there was more to do')

      // Not the broker's word for it: it also marks as delivered again what never left it.
      const next = await system.start()
      await untilStored(system.database, 5 * VIEWS)
      assert.equal(await next.metric(DUPLICATES), 0)
      await system.check()
    })
  }
})

describe('three consumers, restarted in turn', () => {
  for (const engine of ENGINES) {
    test(`count every view once, on ${engine.name}`, async t => {
      const system = await createSystem(t, { database: await engine.create(t), settings: SMALL_BATCHES })
      await postviews(system.surroundings, 'migrate')
      const planned = plan({ views: 10 * VIEWS })
      const start = () => system.start({ command: 'consume' })
      const consumers = [await start(), await start(), await start()]
      for (const consumer of consumers) await consumer.untilReady()

      const published = system.publish(planned)
      for (const [number, signal] of (['SIGTERM', 'SIGKILL', 'SIGTERM', 'SIGKILL'] as const).entries()) {
        await untilStored(system.database, VIEWS * (2 * number + 1))
        await consumers[number % 3]!.end(signal)
        consumers[number % 3] = await start()
        await consumers[number % 3]!.untilReady()
      }
      await published
      await system.check()
    })
  }
})
