/** Clocks that are wrong, or set while the service runs, and days that another process closes too early: fault 26. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { shiftedClock } from '../support/clock.ts'
import { ENGINES, type TestDatabase } from '../support/engines.ts'
import { countRows, untilStored } from '../support/invariants.ts'
import { goodEvent, type Plan, planOf } from '../support/planned.ts'
import { postviews, type Surroundings } from '../support/service.ts'
import { createSystem } from '../support/system.ts'

const VIEWS = 1_500
const HOUR_SECONDS = 3_600
const DAY_SECONDS = 86_400
const YEAR_SECONDS = 365 * DAY_SECONDS
/** So small that there is always a next batch. */
const SETTINGS = { BATCH_EVENTS: '100' }

/** Views of some readers, spread over the hours that lie so long ago. */
function viewsOf({ fromSecondsAgo, toSecondsAgo }: { fromSecondsAgo: number; toSecondsAgo: number }): Plan {
  const now = Math.floor(Date.now() / 1_000)
  const span = fromSecondsAgo - toSecondsAgo
  return planOf(
    Array.from({ length: VIEWS }, (_, n) => [
      goodEvent(
        { postUuid: `post-${n % 5}`, viewedAt: now - fromSecondsAgo + Math.floor((n / VIEWS) * span) },
        { ip: `192.0.2.${n % 250}` },
      ),
    ]),
  )
}

function prune({ settings, ...surroundings }: Surroundings, more: Record<string, string>) {
  return postviews({ ...surroundings, settings: { ...settings, ...more } }, 'prune', '--json')
}

async function openDays(database: TestDatabase): Promise<string[]> {
  const rows = await database.query('SELECT day FROM post_view_day_keys ORDER BY day')
  return rows.map(({ day }) => String(day))
}

for (const engine of ENGINES) {
  describe(`clocks and ${engine.name}`, () => {
    test('days that a short EVENT_MAX_AGE or a host 40 days ahead closes too early: no event becomes a dead letter', async t => {
      const system = await createSystem(t, { database: await engine.create(t), settings: SETTINGS })
      const service = await system.start()
      await service.untilReady()
      const longAgo = { fromSecondsAgo: 6 * DAY_SECONDS, toSecondsAgo: 3 * DAY_SECONDS }
      await system.publish(viewsOf(longAgo))
      await untilStored(system.database, VIEWS)
      const before = await openDays(system.database)

      const short = { EVENT_MAX_AGE: '1h', RAW_RETENTION_DAYS: '90' }
      const { code, output } = await prune(system.surroundings, short)
      assert.equal(code, 0, output)
      assert.deepEqual(await openDays(system.database), [])
      await system.publish(viewsOf(longAgo))
      await untilStored(system.database, 2 * VIEWS)
      assert.deepEqual(await openDays(system.database), before)
      assert.ok(service.logged('day.key_replaced').length > 0)

      const ahead = await shiftedClock(t)
      await ahead.set(40 * DAY_SECONDS)
      const pruned = await prune(system.surroundings, ahead.settings)
      if (engine.kind === 'mysql') {
        assert.equal(pruned.code, 1)
        const [day, wrongDay] = [0, 40].map(days =>
          new Date(Date.now() + days * DAY_SECONDS * 1_000).toISOString().slice(0, 10),
        )
        const named = new RegExp(`clock of this host says ${wrongDay}T.* database server ${day}T`)
        assert.match(pruned.output, named)
        assert.deepEqual(await openDays(system.database), before)
      } else {
        // There is no second clock.
        assert.equal(pruned.code, 0, pruned.output)
        assert.deepEqual(await openDays(system.database), [])
      }
      // Today's among them.
      await system.publish(viewsOf({ ...longAgo, toSecondsAgo: 0 }))
      await untilStored(system.database, 3 * VIEWS)
      assert.ok((await openDays(system.database)).length > before.length)
      await system.check()
    })

    test('a clock that is a year ahead, and then an hour back, under a running service: exact, and retention goes on', async t => {
      const wrong = await shiftedClock(t)
      const patient = { EVENT_MAX_AGE: '400d', RAW_RETENTION_DAYS: '401' }
      const usual = { EVENT_MAX_AGE: '30d', RAW_RETENTION_DAYS: '90' }
      const system = await createSystem(t, {
        database: await engine.create(t),
        settings: { ...SETTINGS, ...patient, ...wrong.settings },
      })
      await wrong.set(YEAR_SECONDS)
      const service = await system.start()
      await service.untilReady()
      const hours = { fromSecondsAgo: 2 * DAY_SECONDS, toSecondsAgo: 2 * HOUR_SECONDS }
      let stored = 0
      // Before the last of one are stored, the clock is set for the next.
      for (const aheadSeconds of [0, -HOUR_SECONDS, 0]) {
        await system.publish(viewsOf(hours))
        await untilStored(system.database, stored + VIEWS / 2)
        await wrong.set(aheadSeconds)
        stored += VIEWS
      }
      await untilStored(system.database, stored)
      assert.equal(await service.readiness(), 'ready')
      const pruned = await prune(system.surroundings, usual)
      assert.deepEqual(
        { code: pruned.code, ...JSON.parse(pruned.output) },
        { code: 0, ran: true, rows: 0, days: 0 },
      )
      await system.check()

      if (engine.kind === 'mysql') return
      // Three months on, what was received by the right clock goes, though the rest stands before it.
      await wrong.set(91 * DAY_SECONDS)
      const later = await prune(system.surroundings, usual)
      assert.equal(later.code, 0, later.output)
      assert.equal(await countRows(system.database), 0)
      assert.equal((await postviews(system.surroundings, 'verify')).code, 0)
    })
  })
}
