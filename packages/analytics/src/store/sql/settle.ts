/**
 * Settles the days that are over, one place at a time: for each dimension of a post and of the site, the values with the most
 * views stay, and the others become one sum. First a mark is set; from then on, batches add no more values than a settled day
 * keeps. So what is left to cut only shrinks, and the next run continues an interrupted one. Sums are equal at every moment.
 */

import { boundOf, lastSettled } from '../bounds.ts'
import { addDays, type Day } from '../days.ts'
import { packsOfDay } from './breakdown-compare.ts'
import { cutPack } from './breakdowns.ts'
import { SELECT_STATE, type SqlClient, type SqlEngine, toState } from './sql.ts'
import { runOn } from './statements.ts'

/** Called after each step, so that the work can end there; the next run continues. */
type AfterStep = () => Promise<void>

/**
 * @param now Unix seconds, of the clock that retention uses
 * @param rebuildDay packs a day again if other values should be kept
 */
export async function settleDays(
  engine: SqlEngine,
  now: number,
  rebuildDay: (day: Day) => Promise<unknown>,
  afterStep: AfterStep,
): Promise<void> {
  const until = lastSettled(engine.calendar, now)
  await setMark(engine, until)
  await afterStep()
  for (const day of await openDaysWithOthers(engine.reader, until)) {
    await rebuildDay(day)
    await afterStep()
  }
  for (let day = await nextDay(engine.reader); day !== null; day = await nextDay(engine.reader)) {
    await cutDay(engine, day, rebuildDay, afterStep)
    const done = day
    await engine.exclusive(client =>
      client.run('UPDATE post_view_state SET bounded_until = ? WHERE id = 1 AND settled_until >= ?', [
        done,
        done,
      ]),
    )
  }
}

/**
 * Sets the mark: from now on batches add no more values to the days up to `until` than are kept. A mark beyond the next day was
 * set by a clock that was ahead, and is moved back.
 */
function setMark(engine: SqlEngine, until: Day): Promise<void> {
  return engine.exclusive(async (client, { settledUntil }) => {
    const isAhead = settledUntil !== null && settledUntil > addDays(until, 1)
    if (settledUntil !== null && settledUntil >= until && !isAhead) return
    await client.run(
      `UPDATE post_view_state
       SET settled_until = ?, bounded_until = CASE WHEN bounded_until > ? THEN ? ELSE bounded_until END
       WHERE id = 1`,
      [until, until, until],
    )
  })
}

/**
 * Days that are not settled, but left values out: there was no room for more, or a clock that was ahead had settled them. The
 * values with the most views by now are found from the rows.
 */
async function openDaysWithOthers(client: SqlClient, until: Day): Promise<Day[]> {
  const rows = await client.all(
    `SELECT DISTINCT date FROM post_view_breakdowns WHERE date > ? AND counts LIKE '%"others":%'`,
    [until],
  )
  return rows.map(({ date }) => String(date)).sort()
}

/** The first day that may still have to be cut. */
async function nextDay(client: SqlClient): Promise<Day | null> {
  const { settledUntil, boundedUntil } = toState((await client.all(SELECT_STATE))[0]!)
  if (settledUntil === null) return null
  const [after, values] =
    boundedUntil === null ? ['', [settledUntil]] : ['AND date > ?', [settledUntil, boundedUntil]]
  const [row] = await client.all(
    `SELECT MIN(date) AS day FROM post_view_breakdowns WHERE date <= ? ${after}`,
    values,
  )
  return row!['day'] === null ? null : String(row!['day'])
}

async function cutDay(
  engine: SqlEngine,
  day: Day,
  rebuildDay: (day: Day) => Promise<unknown>,
  afterStep: AfterStep,
): Promise<void> {
  let hadOthers = false
  for await (const packs of packsOfDay(engine.reader, day)) {
    for (const { post, pack } of packs) {
      hadOthers ||= pack.hasOthers
      if (!pack.cutTo(boundOf(post, true))) continue
      await engine.exclusive((client, state) => runOn(client, cutPack(state, { post, day })))
      await afterStep()
    }
  }
  // If values were left out before the day was over, some of them may have the most views.
  if (!hadOthers) return
  await rebuildDay(day)
  await afterStep()
}
