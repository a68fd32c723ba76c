/** The service is killed, or told to end, with work in hand: faults 1, 2 and 19. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { tapAmqp } from './support/amqp-tap.ts'
import { ENGINES } from './support/engines.ts'
import { assertInvariants } from './support/invariants.ts'
import { Ledger, publish } from './support/ledger.ts'
import { plan } from './support/planned.ts'
import { startService } from './support/service.ts'
import { startTcpProxy } from './support/tcp-proxy.ts'

for (const engine of ENGINES.slice(0, 1)) {
  describe(`on ${engine.name}`, () => {
    test('SIGTERM under load: ends in time with 0, and nothing is delivered twice', async t => {
      const broker = await testRabbitmq()
      const proxy = await startTcpProxy(Number(new URL(broker.url).port))
      t.after(() => proxy.close())
      const tap = tapAmqp(proxy)
      const database = await engine.create(t)
      const surroundings = { amqpUrl: broker.url, databaseUrl: database.url }
      const ledger = await Ledger.open(t)
      const events = plan({ views: 5_000 })
      const first = await startService(t, { ...surroundings, amqpUrl: proxy.through(broker.url) })
      await first.untilReady()
      await publish(broker.url, ledger, events.messages)
      await assertInvariants({ surroundings, database, ledger, plans: [events], services: [first] })
      console.log(tap.delivered, tap.redelivered, tap.unacknowledged, tap.refused, first.residentBytes)
      assert.equal(tap.redelivered, 0)
    })
  })
}
