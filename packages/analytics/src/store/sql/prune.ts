/** Retention: raw rows, day keys and visitors are removed when their time is over; the counters stay for ever. */

import { randomUUID } from 'node:crypto'
import { assertClocksAgree } from '../clocks.ts'
import { addDays, type Day, latest } from '../days.ts'
import type { Progress, Pruned, PruneOptions } from '../store.ts'
import { checkAgreement } from './agreement.ts'
import { rebuildBreakdowns } from './breakdown-rebuild.ts'
import { giveUpLease, holdLease } from './lease.ts'
import { pruneRows } from './prune-rows.ts'
import { whileAgreed } from './rebuild.ts'
import { secretOf } from './rows.ts'
import { settleDays } from './settle.ts'
import { SELECT_STATE, type SqlEngine, type State, toState } from './sql.ts'
import { Pace, type Step } from './steps.ts'
import { dropVisitors } from './visitors.ts'

const DAY_SECONDS = 86_400
const MINUTES_KEPT_SECONDS = 2 * 3_600
/** A fraction of what a lease lasts. */
const LEASE_KEPT_MS = 30_000

export async function prune(
  engine: SqlEngine,
  options: PruneOptions,
  progress: Progress = () => {},
): Promise<Pruned> {
  if (engine.serverClock !== null) await assertClocksAgree(engine.serverClock)
  const holder = randomUUID()
  const started = performance.now()
  // The clock is the caller's, so that tests may choose it.
  const now = () => options.now + Math.floor((performance.now() - started) / 1_000)
  const ran = await engine.exclusive(client => holdLease(client, 'prune', holder, now()))
  if (!ran) return { ran, rows: 0, days: 0 }

  const step: Step = (work, pace = new Pace()) =>
    engine.exclusive(async (client, state) => {
      // Extends the lease, so that a long run keeps it.
      await holdLease(client, 'prune', holder, now())
      return pace.step(rows => work(client, state, rows))
    })
  try {
    const rows = await pruneRows(engine, step, options, progress)
    const days = await closeDays(engine, step, options, progress)
    await dropClosedVisitors(engine, step, progress)
    await dropMinutes(step, options, progress)
    await settle(engine, step, options, progress)
    await engine.removeUnused?.(work => step(work), progress, now())
    return { ran, rows, days }
  } finally {
    await giveUpLease(engine, 'prune', holder)
  }
}

async function stateOf({ reader }: SqlEngine): Promise<State> {
  return toState((await reader.all(SELECT_STATE))[0]!)
}

/** Settles days that are over, under the same lease. A process with other settings than the recorded ones must not do it. */
async function settle(
  given: SqlEngine,
  step: Step,
  { now }: PruneOptions,
  progress: Progress,
): Promise<void> {
  const engine = whileAgreed(given, await checkAgreement(given))
  let keptAt = performance.now()
  let steps = 0
  await settleDays(
    engine,
    now,
    day => rebuildBreakdowns(engine, day, () => progress('hosts', steps, steps)),
    async () => {
      progress('hosts', ++steps, steps)
      if (performance.now() - keptAt < LEASE_KEPT_MS) return
      keptAt = performance.now()
      await step(async () => {})
    },
  )
}

/** Destroys the keys of days whose views are no longer accepted. A day that is being opened again is closed only after that. */
async function closeDays(
  engine: SqlEngine,
  step: Step,
  { now, maxAgeSeconds }: PruneOptions,
  progress: Progress,
): Promise<number> {
  for (let closed = 0; ; closed++) {
    const day = await step(async (client, state) => {
      const [oldest] = await client.all(
        'SELECT MIN(day) AS day FROM post_view_day_keys WHERE reopening IS NULL',
      )
      const day = oldest?.['day'] as Day | null
      // Keys are kept a day longer than views are accepted: a batch that waited for the store may still be under way.
      if (day === null || engine.calendar.bounds(day).end + maxAgeSeconds + DAY_SECONDS > now) return null
      await client.run('DELETE FROM post_view_day_keys WHERE day = ?', [day])
      await client.run('UPDATE post_view_state SET open_from = ? WHERE id = 1', [
        latest(state.openFrom, addDays(day, 1)),
      ])
      return day
    })
    progress('days', closed, closed)
    if (day === null) return closed
  }
}

/** Removes the visitors of closed days, including those that an interrupted run left behind. */
async function dropClosedVisitors(engine: SqlEngine, step: Step, progress: Progress): Promise<void> {
  const { reader } = engine
  const { openFrom } = await stateOf(engine)
  if (openFrom === null) return
  const next = 'SELECT MIN(day) AS day FROM post_view_visitors WHERE day > ? AND day < ?'
  const dayAfter = async (day: Day) => (await reader.all(next, [day, openFrom]))[0]!['day'] as Day | null
  const pace = new Pace()
  let dropped = 0
  for (let day = await dayAfter('1000-01-01'); day !== null; day = await dayAfter(day)) {
    const of = day
    // A day with a key has been opened again.
    while (
      await step(async (client, _state, rows) => {
        if ((await secretOf(client, of)) !== null) return false
        dropped += rows
        return dropVisitors(client, of, rows)
      }, pace)
    ) {
      progress('visitors', dropped, dropped)
    }
  }
}

/** Removes old minutes, and future ones from a clock far ahead: only the last hours are shown. */
async function dropMinutes(step: Step, { now }: PruneOptions, progress: Progress): Promise<void> {
  const pace = new Pace()
  let dropped = 0
  for (const [beyond, order] of [
    ['minute < ?', 'minute'],
    ['minute > ?', 'minute DESC'],
  ]) {
    const edge = order === 'minute' ? now - MINUTES_KEPT_SECONDS : now + MINUTES_KEPT_SECONDS
    const dropSome = () =>
      step(async (client, _state, rows) => {
        const [kept] = await client.all(
          `SELECT minute FROM site_view_minutes WHERE ${beyond} ORDER BY ${order} LIMIT 1 OFFSET ?`,
          [edge, rows],
        )
        dropped += await client.run(`DELETE FROM site_view_minutes WHERE ${beyond}`, [
          kept === undefined ? edge : Number(kept['minute']),
        ])
        return kept !== undefined
      }, pace)
    while (await dropSome()) {
      progress('minutes', dropped, dropped)
    }
  }
}
