/** A lot has piled up while no consumer ran: fault 16. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MYSQL, SQLITE } from '../support/engines.ts'
import { untilStored } from '../support/invariants.ts'
import { goodEvent, plan, planOf } from '../support/planned.ts'
import { createSystem } from '../support/system.ts'

/** As many as the issue of it asks for with `FULL=1`. */
const VIEWS = process.env['FULL'] === '1' ? 300_000 : 60_000
/** The share after which the process is as big as its work makes it: caches warm, a whole prefetch in hand. */
const WARM = VIEWS > 100_000 ? 0.1 : 0.4
const BOUND_BYTES = 300 * 1_048_576

test('a backlog lands on the days it happened, and drains in bounded memory', async t => {
  const system = await createSystem(t, { database: await SQLITE.create(t) })
  await system.publish(plan({ views: VIEWS, posts: 1_000 }))
  const service = await system.start()
  await untilStored(system.database, VIEWS * WARM, 120_000)
  const early = service.residentBytes()
  await untilStored(system.database, VIEWS * 0.9, 240_000)
  const late = service.residentBytes()
  t.diagnostic(`${early} bytes at ${WARM}, ${late} at 0.9 of ${VIEWS} views`)
  assert.ok(late < early * 1.2, 'it grows')
  assert.ok(late < BOUND_BYTES, 'it holds too much')

  await untilStored(system.database, VIEWS)
  await system.check()
})

const BATCH_EVENTS = 100
for (const [engine, eventsPerMessage, largest] of [
  [SQLITE, 1, BATCH_EVENTS / 2],
  [SQLITE, 20, BATCH_EVENTS],
  [MYSQL, 1, BATCH_EVENTS],
] as const) {
  test(`a batch of messages of ${eventsPerMessage} holds ${largest} at most, on ${engine.name}`, async t => {
    const settings = { BATCH_EVENTS: String(BATCH_EVENTS), LOG_LEVEL: 'debug' }
    const system = await createSystem(t, { database: await engine.create(t), settings })
    const events = Array.from({ length: 1_000 }, () =>
      goodEvent({ postUuid: 'a-post', viewedAt: Math.floor(Date.now() / 1_000) }),
    )
    const messages = events.flatMap((_, n) =>
      n % eventsPerMessage === 0 ? [events.slice(n, n + eventsPerMessage)] : [],
    )
    await system.publish(planOf(messages))
    const service = await system.start()
    await untilStored(system.database, events.length)
    const sizes = service.logged('batch.stored').map(({ counted }) => Number(counted))
    assert.equal(Math.max(...sizes), largest)
    await system.check()
  })
}
