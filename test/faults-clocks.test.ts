/** Clocks that are wrong, or set while the service runs, and days that another process closes too early: fault 26. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { atEnd } from './support/at-end.ts'
import { ENGINES, type TestDatabase } from './support/engines.ts'
import { countRows, deadLetters, untilStored } from './support/invariants.ts'
import { goodEvent, type Plan, planOf } from './support/planned.ts'
import { postviews, type Surroundings } from './support/service.ts'
import { createSystem } from './support/system.ts'

const VIEWS = 1_500
const HOUR_SECONDS = 3_600
const DAY_SECONDS = 86_400
const YEAR_SECONDS = 365 * DAY_SECONDS
/** So small that there is always a next batch. */
const SETTINGS = { BATCH_EVENTS: '100' }
const SHIFTED = new URL('./support/shifted-clock.ts', import.meta.url).href

/** A clock that can be set: its settings are those of a process that goes by it. */
async function clock(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-clock-'))
  atEnd(t, () => rm(folder, { recursive: true }))
  const file = join(folder, 'shift')
  const set = (aheadSeconds: number) => writeFile(file, String(aheadSeconds))
  await set(0)
  return { set, settings: { NODE_OPTIONS: `--import=${SHIFTED}`, CLOCK_SHIFT_FILE: file } }
}

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
    test('a day that another process closes too early is opened again by its events, and none becomes a dead letter', async t => {
      const system = await createSystem(t, { database: await engine.create(t), settings: SETTINGS })
      const service = await system.start()
      await service.untilReady()
      const longAgo = { fromSecondsAgo: 6 * DAY_SECONDS, toSecondsAgo: 3 * DAY_SECONDS }
      await system.publish(viewsOf(longAgo))
      await untilStored(system.database, VIEWS)
      const before = await openDays(system.database)

      const { code, output } = await prune(system.surroundings, {
        EVENT_MAX_AGE: '1h',
        RAW_RETENTION_DAYS: '90',
      })
      assert.equal(code, 0, output)
      assert.deepEqual(await openDays(system.database), [])
      await system.publish(viewsOf(longAgo))
      await untilStored(system.database, 2 * VIEWS)
      assert.deepEqual(await openDays(system.database), before)
      assert.ok(service.logged('day.key_replaced').length > 0)
      await system.check()
    })

    test('a host whose clock is 40 days ahead prunes', async t => {
      const system = await createSystem(t, { database: await engine.create(t), settings: SETTINGS })
      const service = await system.start()
      await service.untilReady()
      const recently = { fromSecondsAgo: 3 * DAY_SECONDS, toSecondsAgo: 0 }
      await system.publish(viewsOf(recently))
      await untilStored(system.database, VIEWS)
      const before = await openDays(system.database)

      const ahead = await clock(t)
      await ahead.set(40 * DAY_SECONDS)
      const { code, output } = await prune(system.surroundings, ahead.settings)
      if (engine.name === 'MariaDB') {
        assert.equal(code, 1)
        const day = new Date().toISOString().slice(0, 10)
        const wrongDay = new Date(Date.now() + 40 * DAY_SECONDS * 1_000).toISOString().slice(0, 10)
        assert.match(output, new RegExp(`clock of this host says ${wrongDay}T.* database server ${day}T`))
        assert.deepEqual(await openDays(system.database), before)
      } else {
        // There is no second clock.
        assert.equal(code, 0, output)
        assert.deepEqual(await openDays(system.database), [])
      }
      await system.publish(viewsOf(recently))
      await untilStored(system.database, 2 * VIEWS)
      assert.deepEqual(await openDays(system.database), before)
      await system.check()
    })

    test('a clock that is a year ahead for an hour receives, and retention goes on', async t => {
      const ahead = await clock(t)
      const patient = { EVENT_MAX_AGE: '400d', RAW_RETENTION_DAYS: '401' }
      const system = await createSystem(t, {
        database: await engine.create(t),
        settings: { ...SETTINGS, ...patient, ...ahead.settings },
      })
      await ahead.set(YEAR_SECONDS)
      const service = await system.start()
      await service.untilReady()
      const hours = { fromSecondsAgo: 5 * HOUR_SECONDS, toSecondsAgo: 3 * HOUR_SECONDS }
      await system.publish(viewsOf(hours))
      await untilStored(system.database, VIEWS)
      await ahead.set(0)
      await system.publish(viewsOf(hours))
      await untilStored(system.database, 2 * VIEWS)
      const pruned = await prune(system.surroundings, { EVENT_MAX_AGE: '30d', RAW_RETENTION_DAYS: '90' })
      assert.deepEqual(
        { code: pruned.code, ...JSON.parse(pruned.output) },
        { code: 0, ran: true, rows: 0, days: 0 },
      )
      await system.check()

      if (engine.name === 'MariaDB') return
      // Three months on, what was received by the right clock goes, though the rest stands before it.
      await ahead.set(91 * DAY_SECONDS)
      const later = await prune(system.surroundings, { EVENT_MAX_AGE: '30d', RAW_RETENTION_DAYS: '90' })
      assert.equal(later.code, 0, later.output)
      assert.equal(await countRows(system.database), 0)
      assert.equal((await postviews(system.surroundings, 'verify')).code, 0)
    })

    test('a clock is set back an hour under a running service', async t => {
      const back = await clock(t)
      const system = await createSystem(t, {
        database: await engine.create(t),
        settings: { ...SETTINGS, ...back.settings },
      })
      const service = await system.start()
      await service.untilReady()
      const hours = { fromSecondsAgo: 2 * DAY_SECONDS, toSecondsAgo: 2 * HOUR_SECONDS }
      await system.publish(viewsOf(hours))
      await untilStored(system.database, VIEWS / 2)
      await back.set(-HOUR_SECONDS)
      await system.publish(viewsOf(hours))
      await untilStored(system.database, 2 * VIEWS)
      assert.equal(await service.readiness(), 'ready')
      await back.set(0)
      await system.publish(viewsOf(hours))
      await untilStored(system.database, 3 * VIEWS)
      const pruned = await prune(system.surroundings, {})
      assert.deepEqual(
        { code: pruned.code, ...JSON.parse(pruned.output) },
        { code: 0, ran: true, rows: 0, days: 0 },
      )
      assert.deepEqual(await deadLetters(system.surroundings.amqpUrl), [])
      await system.check()
    })
  })
}
