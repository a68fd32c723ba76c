import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { changesFrom, changesText, keptDiffersAt, rulesDifferAt, rulesOf } from './agreement.ts'
import { Calendar } from './calendar.ts'
import { StoreRefused } from './failures.ts'
import { openSqliteStore } from './sqlite/store.ts'
import { NEWEST_RULES } from './zone-rules.ts'

const HOUR = 3_600
const DAY = 24 * HOUR
const NOW = Date.parse('2026-11-28T12:00:00Z') / 1_000

test('what is recorded reaches from 1970 to two years ahead, and never less far than before', () => {
  const { source, release, until, changes } = rulesOf(new Calendar('Europe/Warsaw', 24), NOW)
  assert.deepEqual([source, release], ['moment-timezone', NEWEST_RULES.release])
  assert.equal(until, NOW + 732 * DAY)
  assert.deepEqual(changes[0], { from: 0, offset: HOUR })
  assert.deepEqual(changes.at(-1), { from: Date.parse('2028-10-29T01:00:00Z') / 1_000, offset: HOUR })
  assert.deepEqual(changesFrom(changesText(changes)), changes)
  assert.equal(rulesOf(new Calendar('Europe/Warsaw', 24), NOW, NOW + 900 * DAY).until, NOW + 900 * DAY)
  assert.equal(rulesOf(new Calendar('Europe/Warsaw', 24), NOW + 20 * 365 * DAY).until, NEWEST_RULES.until)
})

test('kept views differ where the clocks do in whose days they lie, and since when these do is told', () => {
  const calendar = new Calendar('UTC', 24)
  // The recorded clocks differ from 2 * DAY to 3 * DAY, and from 10 * DAY on.
  const recorded = {
    ...rulesOf(calendar, NOW),
    changes: [
      { from: 0, offset: 0 },
      { from: 2 * DAY, offset: HOUR },
      { from: 3 * DAY, offset: 0 },
      { from: 10 * DAY, offset: HOUR },
    ],
  }
  const keptAt = (first: number, last: number) => keptDiffersAt(recorded, calendar, { first, last })
  assert.equal(rulesDifferAt(recorded, calendar), 2 * DAY)
  assert.equal(keptDiffersAt(recorded, calendar, null), null)
  assert.equal(keptAt(0, 2 * DAY - 1), null)
  assert.equal(keptAt(0, 2 * DAY), 2 * DAY)
  assert.equal(keptAt(2.5 * DAY, 2.5 * DAY), 2 * DAY)
  // Both lists have the same clocks on this day, but may disagree about when it began.
  assert.equal(keptAt(4 * DAY, 4 * DAY), 2 * DAY)
  assert.equal(keptAt(5 * DAY, 9 * DAY), null)
  assert.equal(keptAt(5 * DAY, 10 * DAY), 10 * DAY)
  assert.equal(keptAt(20 * DAY, 20 * DAY), 10 * DAY)
})

test('a rebuild ends where something is replaced meanwhile that all processes must agree on', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-agreement-'))
  t.after(() => rm(folder, { recursive: true }))
  const path = join(folder, 'views.db')
  const settings = { timeZone: 'UTC', windowHours: 24, uniqueBy: 'ip', bots: 'count' } as const
  const store = await openSqliteStore(`sqlite:${path}`, settings)
  t.after(() => store.close())
  await store.migrate()
  using database = new DatabaseSync(path)
  database.exec(
    "INSERT INTO site_view_aggregates (date, view_count) VALUES ('2026-03-10', 1), ('2026-03-11', 1)",
  )
  const replace = () => database.exec('UPDATE post_view_state SET agreement = agreement + 1')
  let steps = 0
  const rebuilt = store.rebuild({ adoptSettings: false }, step => {
    if (step === 'days' && ++steps === 1) replace()
  })
  await assert.rejects(rebuilt, { constructor: StoreRefused, message: /has been replaced/ })
  const left = database.prepare('SELECT date FROM site_view_aggregates').all()
  assert.deepEqual(
    left.map(({ date }) => date),
    ['2026-03-11'],
  )
})
