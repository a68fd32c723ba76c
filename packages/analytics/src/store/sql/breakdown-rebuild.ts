/** Corrects the breakdowns of a day to match its raw rows, and chooses the kept values again if others have more views. */

import { DIMENSION_NAMES } from '@postviews/client/src/figures.ts'
import { type Bound, boundOf, SITE } from '../bounds.ts'
import type { Day } from '../days.ts'
import { Pack } from '../pack.ts'
import { packsOfDay, readDay, wrongOf } from './breakdown-compare.ts'
import { type CountedRow, rowsOfBreakdowns, rowsOfIds, SeenValues, unknownPosts } from './breakdown-rows.ts'
import { packRows, writePacks } from './breakdowns.ts'
import { hasRows } from './recount.ts'
import { figure, isSettled, SELECT_STATE, type SqlClient, type SqlEngine, toState } from './sql.ts'
import { runOn } from './statements.ts'
import { groupsOf } from './steps.ts'
import { countOfRebuilds, PutRightMeanwhile, Turn } from './turn.ts'

/** Places that one step packs. */
const PLACES_AT_ONCE = 50
/** At most this many rows may be read while batches wait. */
const ROWS_LEFT = 20_000

/**
 * Corrects the day's breakdowns while consumers run. Differences are found in a snapshot, and those places are packed again, some
 * at a time. Returns how many values were wrong, or were left out although they had more views than some that were kept. An
 * `afterStep` that throws ends it; the next run continues.
 */
export async function rebuildBreakdowns(
  engine: SqlEngine,
  day: Day,
  afterStep: () => void = () => {},
): Promise<number> {
  let fixed = 0
  for (;;) {
    const found = await engine.snapshot(client => lookAt(engine, client, day, afterStep))
    if (found.places.size === 0) return fixed
    try {
      await packAnew(engine, new Turn(engine, found.rebuilds), day, found.places, afterStep)
      fixed += found.wrong
      return fixed
    } catch (error) {
      if (!(error instanceof PutRightMeanwhile)) throw error
      afterStep()
    }
  }
}

interface Found {
  rebuilds: number
  places: Set<string>
  wrong: number
}

async function lookAt(engine: SqlEngine, client: SqlClient, day: Day, afterStep: () => void): Promise<Found> {
  const state = toState((await client.all(SELECT_STATE))[0]!)
  const found: Found = { rebuilds: await countOfRebuilds(client), places: new Set(), wrong: 0 }
  // Without its rows, only the packs are left of the day.
  if (!hasRows(state, day)) return found
  const seen = new SeenValues()
  try {
    await readDay(engine, client, state, day, seen, afterStep)
    for await (const { post } of wrongOf(client, day, seen, afterStep)) {
      found.places.add(post)
      found.wrong++
    }
    for await (const packs of packsOfDay(client, day)) {
      for (const { post, pack } of packs) {
        const missing = valuesToKeep(post, pack, seen, boundOf(post, isSettled(state, day)))
        if (missing > 0) found.places.add(post)
        found.wrong += missing
      }
    }
  } finally {
    seen.close()
  }
  return found
}

/** How many values are left out although they have more views than some that are kept, or there is room for them. */
function valuesToKeep(post: string, pack: Pack, seen: SeenValues, bound: Bound): number {
  if (!pack.hasOthers) return 0
  let missing = 0
  for (const [name, { values }] of packOf(post, seen, bound).breakdowns) {
    for (const value of values.keys()) if (!pack.of(name).values.has(value)) missing++
  }
  return missing
}

/**
 * Packs places from the rows of the day, which are read once for all places. Views that are counted meanwhile are in the last
 * rows: each step reads those while no batch is under way.
 */
async function packAnew(
  engine: SqlEngine,
  turn: Turn,
  day: Day,
  places: ReadonlySet<string>,
  afterStep: () => void,
): Promise<void> {
  const seen = new SeenValues()
  const add = (rows: readonly CountedRow[]) =>
    seen.add(rows, ({ post }) => places.has(post), places.has(SITE))
  try {
    const state = toState((await engine.reader.all(SELECT_STATE))[0]!)
    const unknown = await unknownPosts(engine, engine.reader, state, day)
    let read = await lastRow(engine)
    for await (const rows of rowsOfBreakdowns(engine, engine.reader, day, { unknown, last: read })) {
      add(rows)
      afterStep()
    }
    for (const some of groupsOf(places, PLACES_AT_ONCE)) {
      // Until few rows are left for the step.
      for (let last = await lastRow(engine); last - read > ROWS_LEFT; last = await lastRow(engine)) {
        for (; read < last; read = Math.min(last, read + ROWS_LEFT)) {
          add(await rowsOfIds(engine, engine.reader, day, [read, Math.min(last, read + ROWS_LEFT)]))
          afterStep()
        }
      }
      await turn.change(async (client, state) => {
        if (!hasRows(state, day)) throw new PutRightMeanwhile()
        const [row] = await client.all('SELECT MAX(id) AS last FROM post_views')
        const last = Math.max(read, figure(row!['last']) ?? 0)
        // If the step is repeated after a deadlock, it continues here: every row that it has read is committed.
        add(await rowsOfIds(engine, client, day, [read, last]))
        read = last
        await runOn(
          client,
          packRows(
            state,
            some.filter(post => post !== SITE),
          ),
        )
        const packs = some.map(post => ({
          post,
          day,
          pack: packOf(post, seen, boundOf(post, isSettled(state, day))),
        }))
        await runOn(client, writePacks(packs))
      })
      afterStep()
    }
  } finally {
    seen.close()
  }
}

function packOf(post: string, seen: SeenValues, bound: Bound): Pack {
  const pack = new Pack()
  for (const name of DIMENSION_NAMES) {
    for (const [value, views] of seen.of(post, name)) pack.of(name).add(value, views, bound)
  }
  return pack
}

/** The id of the last row, at a moment when no batch is under way: every row up to it is committed. */
function lastRow(engine: SqlEngine): Promise<number> {
  return engine.exclusive(async client => {
    const [row] = await client.all('SELECT MAX(id) AS last FROM post_views')
    return figure(row!['last']) ?? 0
  })
}

/** Packs a day that was not counted before: during adoption, when nothing else counts yet. */
export async function packDay(engine: SqlEngine, client: SqlClient, day: Day): Promise<void> {
  const seen = new SeenValues()
  try {
    const unknown = await unknownPosts(engine, client, { adoptedAt: 0 }, day)
    for await (const rows of rowsOfBreakdowns(engine, client, day, { unknown }))
      seen.add(rows, () => true, true)
    await client.run('DELETE FROM post_view_breakdowns WHERE date = ?', [day])
    for (const some of groupsOf(seen.places(), PLACES_AT_ONCE)) {
      const packs = some.map(post => ({ post, day, pack: packOf(post, seen, boundOf(post, false)) }))
      await runOn(client, writePacks(packs))
    }
  } finally {
    seen.close()
  }
}
