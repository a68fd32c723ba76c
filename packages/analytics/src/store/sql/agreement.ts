/** What all processes agree on, as the SQL engines record it. */

import {
  type Agreed,
  assertAgreed,
  changeOfRules,
  changesFrom,
  changesText,
  type KeptTimes,
  type RecordedRules,
  recordedCalendar,
  rulesOf,
  unrecordedDiffer,
} from '../agreement.ts'
import type { Calendar } from '../calendar.ts'
import type { Day } from '../days.ts'
import { momentAgain } from '../derive-again.ts'
import { StoreRefused } from '../failures.ts'
import type { Migrated, Progress } from '../store.ts'
import {
  figure,
  type SqlClient,
  type SqlEngine,
  type SqlRow,
  STATE_COLUMNS,
  type State,
  toState,
} from './sql.ts'

const ROWS_AT_ONCE = 20_000

// The list of changes is read only when a process starts, never with a batch.
const SELECT_AGREED = `
  SELECT ${STATE_COLUMNS}, rules_source, rules_release, rules_until, rules_changes
  FROM post_view_state
  WHERE id = 1`

/** Compares what is recorded with what this process counts by; returns the agreement. @throws {StoreRefused} */
export async function checkAgreement(engine: SqlEngine): Promise<number> {
  const agreed = await readAgreed(engine.reader)
  await assertAgreed(agreed, engine, () => keptTimes(engine, engine.reader))
  return agreed.agreement
}

/**
 * Records the zone rules of this process if none are recorded, if its list reaches further, or if its release is newer and
 * no kept view moves. Part of a migration; called again, it changes nothing.
 *
 * @throws {StoreRefused} when this process must not record its rules
 */
export async function agreeOnRules(engine: SqlEngine, progress: Progress = () => {}): Promise<Migrated> {
  const before = await readAgreed(engine.reader)
  const scanned = recordedCalendar(before, engine)
  if (before.rules === null && scanned !== null) await assertDaysAre(engine, scanned, progress)
  return engine.exclusive(async client => {
    const agreed = await readAgreed(client)
    // Read again: other settings may have been adopted since.
    const calendar = recordedCalendar(agreed, engine)
    // These rules do not know the recorded zone, so this process is configured with another, and is refused for that.
    if (calendar === null) return { replaced: [] }
    const now = Math.floor(Date.now() / 1_000)
    if (agreed.rules === null) {
      await writeRules(client, rulesOf(calendar, now))
      return { replaced: [] }
    }
    const change = changeOfRules(agreed.rules, calendar, await keptTimes(engine, client), now)
    if (change === null) return { replaced: [] }
    await writeRules(client, change.rules)
    if (change.replaces === null) return { replaced: [] }
    await raiseAgreement(client)
    return { replaced: [change.replaces] }
  })
}

/**
 * Makes the processes that learned the agreement stop before their next batch. Call it in the transaction that replaces
 * what they must agree on.
 */
export async function raiseAgreement(client: SqlClient): Promise<void> {
  await client.run('UPDATE post_view_state SET agreement = agreement + 1 WHERE id = 1')
}

export async function writeRules(client: SqlClient, rules: RecordedRules): Promise<void> {
  await client.run(
    `UPDATE post_view_state
     SET rules_source = ?, rules_release = ?, rules_until = ?, rules_changes = ?
     WHERE id = 1`,
    [rules.source, rules.release, rules.until, changesText(rules.changes)],
  )
}

/** Adoption of old tables writes the state last. */
const NOTHING_RECORDED = 'adopting the tables was not finished: run `postviews migrate`'

export async function readAgreed(client: SqlClient): Promise<Agreed & State> {
  const [row] = await client.all(SELECT_AGREED)
  if (row === undefined) throw new StoreRefused(NOTHING_RECORDED)
  return { ...toState(row), rules: toRules(row) }
}

function toRules(row: SqlRow): RecordedRules | null {
  if (row['rules_changes'] === null) return null
  return {
    source: String(row['rules_source']),
    release: String(row['rules_release']),
    until: Number(row['rules_until']),
    changes: changesFrom(String(row['rules_changes'])),
  }
}

export async function keptTimes({ fromTime }: SqlEngine, client: SqlClient): Promise<KeptTimes> {
  const [row] = await client.all('SELECT MIN(viewed_at) AS first, MAX(viewed_at) AS last FROM post_views')
  if (row === undefined || row['first'] === null) return null
  return { first: fromTime(row['first']), last: fromTime(row['last']) }
}

/**
 * Derives the day and the window of every kept row again. Each read covers some thousand rows, so nobody waits for it and it can
 * be interrupted. A window is the time between two moments, so checking its earliest and its latest row is enough.
 *
 * @throws {StoreRefused} when these rules put some row on another day or in another window
 */
async function assertDaysAre(engine: SqlEngine, calendar: Calendar, progress: Progress): Promise<void> {
  const { reader, fromTime } = engine
  const { settingsSince } = await readAgreed(reader)
  const [count] = await reader.all('SELECT COUNT(*) AS views FROM post_views')
  const total = Number(count!['views'])
  let first: number | null = null
  for (let after = 0, done = 0; ; done += ROWS_AT_ONCE) {
    const [edge] = await reader.all(
      `SELECT MAX(id) AS last FROM (SELECT id FROM post_views WHERE id > ? ORDER BY id LIMIT ${ROWS_AT_ONCE}) AS part`,
      [after],
    )
    const last = figure(edge!['last'])
    if (last === null) break
    const windows = await reader.all(
      `SELECT day, slice, MIN(viewed_at) AS first, MAX(viewed_at) AS last
       FROM post_views
       WHERE id > ? AND id <= ? AND day IS NOT NULL
       GROUP BY day, slice`,
      [after, last],
    )
    for (const row of windows) {
      const window = { day: String(row['day']), slice: figure(row['slice']), hour_of_day: null }
      const belongs = (viewedAt: number) => {
        const { day, slice } = momentAgain(window, calendar.locate(viewedAt), settingsSince)
        return day === window.day && slice === window.slice
      }
      if (belongs(fromTime(row['first'])) && belongs(fromTime(row['last']))) continue
      const times = await timesOf(engine, window, after, last)
      const differing = times.find(viewedAt => !belongs(viewedAt))
      if (differing !== undefined && (first === null || differing < first)) first = differing
    }
    after = last
    progress('days by zone rules', Math.min(done + ROWS_AT_ONCE, total), total)
  }
  if (first !== null) throw unrecordedDiffer(calendar, first)
}

async function timesOf(
  { reader, fromTime }: SqlEngine,
  { day, slice }: { day: Day; slice: number | null },
  after: number,
  last: number,
): Promise<number[]> {
  const rows = await reader.all(
    `SELECT DISTINCT viewed_at FROM post_views
     WHERE id > ? AND id <= ? AND day = ? AND ${slice === null ? 'slice IS NULL' : 'slice = ?'}
     ORDER BY viewed_at`,
    [after, last, day, ...(slice === null ? [] : [slice])],
  )
  return rows.map(row => fromTime(row['viewed_at']))
}
