/**
 * Applies this version's lists to the rows of a day, in short steps while consumers run. The numbers of the day follow when it is
 * counted again, which the caller does next. If that never happens, because the work was interrupted and the rows are removed
 * then, the numbers stay as they were counted: rows are packed by what they said before they say something else.
 */

import { fieldsOf } from '../../derive/who.ts'
import type { Day } from '../days.ts'
import { momentAgain } from '../derive-again.ts'
import { KEPT } from '../kept.ts'
import { type Derivation, WHO_TEXTS, type WhoRow, type WhoText, whoAgain } from '../who-again.ts'
import { packRows } from './breakdowns.ts'
import { hasRows, rowsOfDay } from './recount.ts'
import { type Place, placeOf, rowsByTime } from './rows-by-time.ts'
import {
  figure,
  placeholders,
  SELECT_STATE,
  type SqlClient,
  type SqlEngine,
  type SqlRow,
  type SqlValue,
  type State,
  toState,
} from './sql.ts'
import { runOn } from './statements.ts'
import { Pace } from './steps.ts'
import { raiseRebuilds } from './turn.ts'

const ROWS_READ_AT_ONCE = 5_000
/** One step changes at most this many rows, fewer where that takes long: each of their posts may have rows to pack first. */
const ROWS_AT_ONCE = 500

/** Returns how many rows say something else now, or were derived by another version. */
export async function rebuildWho(
  engine: SqlEngine,
  derivation: Derivation,
  day: Day,
  afterStep: () => void,
): Promise<number> {
  const pace = new Pace()
  let derived = 0
  const { from, to } = rowsOfDay(engine, day)
  for (let after: Place | null = null; ; ) {
    const rows: SqlRow[] = await rowsByTime(
      engine,
      engine.reader,
      { from, to },
      { after, count: ROWS_READ_AT_ONCE, columns: 'day' },
    )
    const state = toState((await engine.reader.all(SELECT_STATE))[0]!)
    // Without all of its rows, the day cannot be counted again.
    if (!hasRows(state, day)) return derived
    const ids = rows.filter(row => row['day'] === day).map(row => Number(row['id']))
    for (let done = 0; done < ids.length; ) {
      const some = ids.slice(done, done + Math.min(pace.rows, ROWS_AT_ONCE))
      const changed = await changesOf(engine, engine.reader, state, derivation, some)
      if (changed.length > 0) {
        const those = changed.map(({ id }) => id)
        derived += await engine.exclusive((client, now) =>
          pace.step(() => deriveRows(engine, client, now, derivation, day, those)),
        )
      }
      done += some.length
      afterStep()
    }
    if (rows.length < ROWS_READ_AT_ONCE) return derived
    after = placeOf(engine, rows.at(-1)!)
  }
}

/** The columns that this may change, as a row has them and as they must be. */
type Columns = Record<string, SqlValue>

interface Change {
  id: number
  post: string
  before: Columns
  after: Columns
}

/** Reads the rows again, in the same step: since they were read, they may have been pruned, or what they keep erased. */
async function deriveRows(
  engine: SqlEngine,
  client: SqlClient,
  state: State,
  derivation: Derivation,
  day: Day,
  ids: readonly number[],
): Promise<number> {
  // Retention may have begun to remove them.
  if (!hasRows(state, day)) return 0
  const changes = await changesOf(engine, client, state, derivation, ids)
  if (changes.length === 0) return 0
  const counted = changes.filter(({ before, after }) => countsOtherwise(before, after))
  if (counted.length > 0) {
    await runOn(client, packRows(state, [...new Set(counted.map(({ post }) => post))]))
    await raiseRebuilds(client)
  }
  await write(client, changes)
  return changes.length
}

async function changesOf(
  engine: SqlEngine,
  client: SqlClient,
  { settingsSince }: State,
  { who, texts }: Derivation,
  ids: readonly number[],
): Promise<Change[]> {
  const rows = await client.all(
    `SELECT id, post_uuid, user_id, ip, user_agent, referer, utm, viewed_at, day, slice, hour_of_day, bot, referer_host,
            ${client.dialect.hex('visitor')} AS visitor, ${WHO_TEXTS.map(name => KEPT[name].column).join(', ')}
     FROM post_views
     WHERE id IN (${placeholders(ids.length)})`,
    ids,
  )
  return rows.flatMap(row => {
    const text = (column: string) => (row[column] === null ? null : String(row[column]))
    const derived = {
      day: text('day'),
      slice: figure(row['slice']),
      hour_of_day: figure(row['hour_of_day']),
    }
    const said: WhoRow = {
      userId: text('user_id'),
      ip: text('ip'),
      userAgent: text('user_agent'),
      referer: text('referer'),
      utm: text('utm'),
      refererHost: text('referer_host'),
      visitor: text('visitor'),
      bot: figure(row['bot']),
      origin: text('origin'),
      agent: text('agent'),
      country: text('country'),
    }
    const moment = engine.calendar.locate(engine.fromTime(row['viewed_at']))
    const before = { ...columnsOf(said), [KEPT.hour.column]: derived.hour_of_day }
    const after = {
      ...columnsOf(whoAgain(said, who, texts)),
      // The hour needs no list. It is missing in rows that were counted before it was kept.
      [KEPT.hour.column]: derived.hour_of_day ?? momentAgain(derived, moment, settingsSince).hour,
    }
    const isChanged = Object.keys(after).some(column => before[column] !== after[column])
    return isChanged ? [{ id: Number(row['id']), post: String(row['post_uuid']), before, after }] : []
  })
}

function columnsOf(said: Pick<WhoRow, WhoText | 'bot'>): Columns {
  const texts = WHO_TEXTS.map(name => [KEPT[name].column, said[name]])
  return { ...Object.fromEntries(texts), [KEPT.bot.column]: said.bot }
}

/** False if only versions differ. */
function countsOtherwise(before: Columns, after: Columns): boolean {
  const counted = (value: SqlValue | undefined) =>
    typeof value === 'string' ? fieldsOf(value).join() : (value ?? null)
  return Object.keys(after).some(column => counted(before[column]) !== counted(after[column]))
}

async function write(client: SqlClient, changes: readonly Change[]): Promise<void> {
  const values: SqlValue[] = []
  const assignments = Object.keys(changes[0]!.after).flatMap(column => {
    const those = changes.filter(({ before, after }) => before[column] !== after[column])
    if (those.length === 0) return []
    const cases = those.map(({ id, after }) => {
      values.push(after[column]!)
      return `WHEN ${id} THEN ?`
    })
    // ELSE also tells the type, where all other values are placeholders.
    return [`${column} = CASE id ${cases.join(' ')} ELSE ${column} END`]
  })
  await client.run(
    `UPDATE post_views SET ${assignments.join(', ')}, viewed_at = viewed_at
     WHERE id IN (${changes.map(({ id }) => id).join()})`,
    values,
  )
}
