/** A lot has piled up while no consumer ran: fault 16. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SQLITE } from './support/engines.ts'
import { untilStored } from './support/invariants.ts'
import { plan } from './support/planned.ts'
import { createSystem } from './support/system.ts'
import { until } from './support/until.ts'

const IS_FULL = process.env['FULL'] === '1'
const VIEWS = IS_FULL ? 300_000 : 60_000
/** The share after which the process is as big as work makes it: caches warm, all of the prefetch in hand. */
const WARM = IS_FULL ? 0.1 : 0.35
/** Garbage is collected and no room for it kept, so that what is measured is what is needed. */
const COLLECTING = [
  ...['--max-semi-space-size=4', '--max-old-space-size=128', '--expose-gc'],
  ...['--import', 'data:text/javascript,setInterval(gc, 500).unref()'],
]
const KEPT_BYTES = 80 * 1_048_576

test('a backlog lands on the days it happened, and drains in bounded memory', async t => {
  const settings = { MALLOC_ARENA_MAX: '2' }
  const system = await createSystem(t, { database: await SQLITE.create(t), settings })
  await system.publish(plan({ views: VIEWS, posts: 1_000, eventsPerMessage: 300, paddingBytes: 2_000 }))
  const service = await system.start({ nodeOptions: COLLECTING })
  await untilStored(system.database, VIEWS * WARM, 120_000)
  const early = service.residentBytes()
  await untilStored(system.database, VIEWS * 0.9, 240_000)
  const late = service.residentBytes()
  t.diagnostic(`${early} bytes at ${WARM}, ${late} at 0.9 of ${VIEWS} views`)
  assert.ok(late < early * 1.2, `${early} bytes at ${WARM}, ${late} at 0.9`)

  await untilStored(system.database, VIEWS)
  const keptBytes = async () =>
    (await service.metric('nodejs_heap_size_used_bytes')) +
    (await service.metric('nodejs_external_memory_bytes'))
  await until('little is kept afterwards', async () => (await keptBytes()) < KEPT_BYTES)
  await system.check()
})
