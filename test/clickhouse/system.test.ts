/**
 * The main promise on a cluster: four consumers count the same queues into two shards, are killed at random with
 * deliveries in hand, and a shard is killed and is away for a while. In the end every number is exact.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ownClickhouse } from '../support/engines.ts'
import { plan } from '../support/planned.ts'
import { postviews } from '../support/service.ts'
import { createSystem } from '../support/system.ts'
import { until } from '../support/until.ts'

const VIEWS = process.env['FULL'] === '1' ? 200_000 : 20_000
const CONSUMERS = 4
const KILLS = process.env['FULL'] === '1' ? 20 : 8
const SHARD_KILLED_AT = KILLS / 2
/** Small ones, so that there is always something in hand. */
const SETTINGS = { BATCH_EVENTS: '500' }
const DRAIN_DEADLINE_MS = 300_000

test('counts every view exactly once on two shards, whatever is killed meanwhile', async t => {
  const { cluster, database } = await ownClickhouse(t)
  const system = await createSystem(t, { database, settings: SETTINGS })
  const { tap } = system
  await postviews(system.surroundings, 'migrate')
  const start = () => system.start({ command: 'consume', oneOfSeveral: true })
  const consumers = await Promise.all(Array.from({ length: CONSUMERS }, start))
  for (const consumer of consumers) await consumer.untilReady()

  const planned = plan({ views: VIEWS, eventsPerMessage: 20 })
  const published = system.publish(planned)
  for (let kill = 1; kill <= KILLS; kill++) {
    const next = tap.delivered + Math.floor((Math.random() * planned.messages.length) / KILLS / 2)
    await until('deliveries are in hand', () => tap.inHand > 0 && tap.delivered > next)
    if (kill === SHARD_KILLED_AT) await cluster.shards[1]!.kill()
    const victim = Math.floor(Math.random() * CONSUMERS)
    assert.equal((await consumers[victim]!.end('SIGKILL')).why, 'SIGKILL')
    if (kill === SHARD_KILLED_AT) {
      const other = consumers[(victim + 1) % CONSUMERS]!
      await until('it is noticed', async () => (await other.readiness()) !== 'ready')
      await cluster.shards[1]!.restart()
    }
    consumers[victim] = await start()
  }
  await published
  await system.check(DRAIN_DEADLINE_MS)
  assert.ok(tap.redelivered > 0, 'what was in hand is delivered again')
  assert.equal(tap.refused, 0)
})
