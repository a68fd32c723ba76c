/**
 * Applies this version's lists to the rows of some days. A row that says something else is inserted again under the next version
 * (row.ts), so it outranks the row that it was derived from, and redeliveries of that. Rollers count it like any new row. Rows that
 * came of this are only read when it runs again.
 */

import { settingsOn } from '../bots-before.ts'
import type { Day } from '../days.ts'
import { momentAgain } from '../derive-again.ts'
import { AGREEMENT_REPLACED, StoreRefused } from '../failures.ts'
import { KEPT } from '../kept.ts'
import { UNKNOWN_VISITOR } from '../row.ts'
import type { Progress } from '../store.ts'
import { type Derivation, WHO_TEXTS, type WhoRow, whoAgain } from '../who-again.ts'
import type { Row, Shard } from './connection.ts'
import { dayIn } from './count.ts'
import { type HourGroup, hourGroups } from './derive.ts'
import { isServers, THROWN_BY_THROW_IF } from './errors.ts'
import { DERIVED_COLUMNS, insertOfDerived, SELECT_TO_DERIVE, UNEXPLAINED } from './row.ts'
import type { Engine, State } from './state.ts'

const ROWS_AT_ONCE = 20_000

/** Returns how many rows say something else now, or were derived by another version. */
export async function rebuildWho(
  engine: Engine,
  state: State,
  derivation: Derivation,
  days: readonly Day[],
  progress: Progress,
): Promise<number> {
  if (days.length === 0) return 0
  let derived = 0
  for (const shard of await engine.cluster.shards()) {
    const groups = await hourGroups(shard, dayIn(days))
    for (const [index, group] of groups.entries()) {
      const step = () => progress('lists', index, groups.length)
      // Again, for a row that was hashed under another key meanwhile: it says what it said before.
      for (let changed = 1; changed > 0; derived += changed)
        changed = await deriveGroup(engine, shard, state, derivation, days, group, step)
    }
    progress('lists', groups.length, groups.length)
  }
  return derived
}

async function deriveGroup(
  engine: Engine,
  shard: Shard,
  state: State,
  derivation: Derivation,
  days: readonly Day[],
  { hours, rows: about }: HourGroup,
  afterStep: () => void,
): Promise<number> {
  await shard.catchUp()
  const pages = Math.ceil(about / ROWS_AT_ONCE)
  let changed = 0
  for (let page = 0; page < pages; page++) {
    const rows = await shard.all(
      `SELECT ${SELECT_TO_DERIVE} FROM (
         SELECT * FROM post_view_rows FINAL WHERE ${hours} AND ${dayIn(days)} AND cityHash64(id) % ${pages} = ${page}
       ) AS r`,
    )
    const lines = rows.flatMap(row => derivedLine(engine, state, derivation, row) ?? [])
    if (lines.length > 0) await insert(shard, state, lines)
    changed += lines.length
    afterStep()
  }
  return changed
}

/** @throws {StoreRefused} own hosts or settings were replaced since the rows were derived */
async function insert(shard: Shard, { agreement }: State, lines: readonly string[]): Promise<void> {
  try {
    await shard.send(insertOfDerived(agreement), lines.join('\n'))
  } catch (error) {
    if (isServers(error) && error.code === THROWN_BY_THROW_IF)
      throw new StoreRefused(AGREEMENT_REPLACED, { cause: error })
    throw error
  }
}

/** The line of the row that outranks this one; null if lists say the same of it as it says. */
function derivedLine(
  { calendar }: Engine,
  state: State,
  { who, texts }: Derivation,
  row: Row,
): string | null {
  const text = (column: string) => (row[column] === null ? null : String(row[column]))
  const said: WhoRow = {
    userId: text('user_id'),
    ip: text('ip'),
    userAgent: text('user_agent'),
    referer: text('referer'),
    utm: text('utm'),
    refererHost: text('referer_host'),
    visitor: text('visitor') === '0' ? UNKNOWN_VISITOR : text('visitor'),
    bot: Number(row['bot']),
    origin: text('origin'),
    agent: text('agent'),
    country: text('country'),
  }
  const again = whoAgain(said, who, texts)
  const day = String(row['day'])
  const hour = row['hour_of_day'] as number | null
  const place = { day, slice: Number(row['slice']), hour_of_day: hour }
  const after: Row = {
    ...Object.fromEntries(WHO_TEXTS.map(name => [KEPT[name].column, again[name]])),
    bot: again.bot,
    // The hour needs no list. It is missing in rows that were counted before it was kept.
    hour_of_day:
      hour ?? momentAgain(place, calendar.locate(Number(row['viewed_at'])), state.settingsSince).hour,
  }
  if (Object.keys(after).every(column => row[column] === after[column])) return null
  const counts =
    again.bot === said.bot || row['counts'] === UNEXPLAINED
      ? row['counts']
      : countsAgain(state, day, again.bot!)
  const changed: Row = { ...row, ...after, counts }
  return JSON.stringify(DERIVED_COLUMNS.map(column => changed[column]))
}

function countsAgain(state: State, day: Day, bot: number): number {
  return settingsOn(state, day).bots === 'exclude' ? 1 - bot : 1
}
