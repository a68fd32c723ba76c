/** The derived columns of a row, as SQL: the servers derive millions of rows again in seconds. */

import type { Day } from '../days.ts'
import type { Shard } from './connection.ts'
import type { DayKey } from './keys.ts'
import { COLUMNS, countsOf, IS_FORGOTTEN, KEY_NUMBER, RECEIVED, UNEXPLAINED, versionOf } from './row.ts'
import { quoted, STEP_PARTITIONS, STEP_ROWS } from './sql.ts'
import { type Engine, EPOCH, type State } from './state.ts'

const HOURS_A_DAY = 24
/** A query lists each of its days. */
const STEP_SECONDS = 60 * 86_400

/** Partitions that are processed together, with the first and last time of their views. */
export interface HourGroup {
  hours: string
  /** Unix seconds. */
  first: number
  last: number
  rows: number
}

/**
 * The partitions of a shard, the earliest first: small ones together, and big ones by their days.
 *
 * @param where as SQL: only partitions with such rows
 */
export async function hourGroups(shard: Shard, where = 'true'): Promise<HourGroup[]> {
  const groups = await shard.all(
    `SELECT intDiv(hour, ${HOURS_A_DAY}) AS date, groupUniqArray(hour) AS hours, count() AS rows,
            toUnixTimestamp(min(viewed_at)) AS first, toUnixTimestamp(max(viewed_at)) AS last
     FROM post_view_rows WHERE ${where} GROUP BY date ORDER BY date`,
  )
  const together: { hours: number[]; first: number; last: number; rows: number }[] = []
  for (const group of groups) {
    const [first, last, rows] = [Number(group['first']), Number(group['last']), Number(group['rows'])]
    const hours = group['hours'] as number[]
    const before = together.at(-1)
    if (
      before !== undefined &&
      before.hours.length + hours.length <= STEP_PARTITIONS &&
      before.rows + rows <= STEP_ROWS &&
      last - before.first <= STEP_SECONDS
    ) {
      before.hours.push(...hours)
      before.first = Math.min(before.first, first)
      before.last = Math.max(before.last, last)
      before.rows += rows
    } else {
      together.push({ hours, first, last, rows })
    }
  }
  return together.map(group => ({ ...group, hours: `hour IN (${group.hours.join(', ')})` }))
}

/** As SQL: the reader was told apart by an address that is not kept. */
export const WITHOUT_ADDRESS = 'ip IS NULL AND visitor != 0'

/** The derived columns, as `visitorOf` and `Calendar.locate` make them; see those for why. */
export interface Derived {
  /** As SQL, a `WITH` list that the others build on. */
  given: string
  day: string
  slice: string
  hour_of_day: string
  loggedIn: string
  counts: string
  visitor: string
  /** The number of the day's key under which the row is hashed. */
  key: string
}

/** Days to which the settings could not be applied stay as they are, and so do readers whose day has no key any more. */
export function derivedOf(
  { calendar, settings }: Engine,
  { settingsSince }: Pick<State, 'settingsSince'>,
  keys: ReadonlyMap<Day, DayKey>,
  { first, last }: Pick<HourGroup, 'first' | 'last'>,
): Derived {
  const days: { day: Day; start: number }[] = []
  for (let at = first; at <= last || days.length === 0; ) {
    const day = calendar.dayOf(at)
    const { start, end } = calendar.bounds(day)
    days.push({ day, start })
    at = end
  }
  const list = (texts: readonly string[]) => `[${quoted(texts)}]`
  const keyOf = (day: Day) => keys.get(settingsSince !== null && day < settingsSince ? settingsSince : day)
  const frozen = `day < '${settingsSince}'`
  // In the old zone, such a view belonged to a day that is counted again: it must not move to a frozen day.
  const reached = (column: string, first: string, derived: string) =>
    settingsSince === null
      ? derived
      : `multiIf(${frozen}, ${column}, own_day < toDate('${settingsSince}'), ${first}, ${derived})`
  const windowSeconds = settings.windowHours * 3_600
  const inWindow =
    settings.windowHours === 24
      ? '0'
      : `intDiv(toUnixTimestamp(viewed_at) - arrayElement([${days.map(({ start }) => start).join(', ')}], nth), ${windowSeconds})`
  const inHour = `intDiv(toUnixTimestamp(viewed_at) - arrayElement([${days.map(({ start }) => start).join(', ')}], nth), 3600)`
  return {
    given: [
      `arrayCount(start -> start <= toUnixTimestamp(viewed_at), [${days.map(({ start }) => start).join(', ')}]) AS nth`,
      `arrayElement(arrayMap(day -> toDate(day), ${list(days.map(({ day }) => day))}), nth) AS own_day`,
      `arrayElement(${list(days.map(({ day }) => keyOf(day)?.secret ?? ''))}, nth) AS secret`,
      `arrayElement([${days.map(({ day }) => keyOf(day)?.number ?? 0).join(', ')}], nth) AS key_number`,
      `${settingsSince === null ? '' : `${frozen} OR `}ip IS NULL OR secret = '' AS keeps_reader`,
    ].join(', '),
    day: reached('day', `toDate('${settingsSince}')`, 'own_day'),
    slice: reached('slice', '0', inWindow),
    // Null in a row that was kept before its hour was.
    hour_of_day: `if(hour_of_day IS NULL, NULL, ${reached('hour_of_day', '0', inHour)})`,
    loggedIn: 'if(user_id IS NULL, logged_in, 1)',
    counts: `if(${settingsSince === null ? '' : `${frozen} OR `}counts = ${UNEXPLAINED}, counts, ${countsOf(settings.bots)})`,
    visitor: `if(keeps_reader, visitor, ${visitorUnder('secret', settings.uniqueBy)})`,
    key: `if(keeps_reader OR key_number = 0, ${KEY_NUMBER}, key_number)`,
  }
}

/** `visitorOf` as SQL; a row keeps half of the hash. */
function visitorUnder(secret: string, uniqueBy: State['settings']['uniqueBy']): string {
  const group =
    "arrayMap(n -> replaceRegexpOne(lower(hex(substring(IPv6StringToNumOrDefault(assumeNotNull(ip)), 2 * n + 1, 2))), '^0{1,3}', ''), [0, 1, 2, 3])"
  const network = `if(isIPv6String(assumeNotNull(ip)), concat(arrayStringConcat(${group}, ':'), '::/64'), assumeNotNull(ip))`
  const address = uniqueBy.startsWith('network') ? network : 'assumeNotNull(ip)'
  const reader = uniqueBy.endsWith('+user_agent')
    ? `concat(${address}, char(0), ifNull(user_agent, ''))`
    : address
  return `reinterpretAsUInt64(substring(SHA256(concat(${secret}, ${reader})), 1, 8))`
}

/** New values of columns, as SQL by column; the others stay. */
type Changed = Partial<
  Record<
    | 'version'
    | 'day'
    | 'slice'
    | 'hour_of_day'
    | 'logged_in'
    | 'counts'
    | 'visitor'
    | 'ip'
    | 'user_id'
    | 'user_agent'
    | 'referer',
    string
  >
>

/** As SQL: inserts new versions of rows with changed columns. `from`: a source with each row once. */
export function insertChanged(from: string, changed: Changed, given = ''): string {
  const columns = COLUMNS.split(', ').map(column => {
    const other = (changed as Record<string, string>)[column]
    return other === undefined ? `r.${column}` : `${other} AS new_${column}`
  })
  return `INSERT INTO post_view_rows (${COLUMNS})
    WITH ${given === '' ? '1 AS nothing' : given}
    SELECT ${columns.join(', ')} FROM (${from}) AS r`
}

/** How many views of the group match `where`. */
export async function viewsIn(shard: Shard, { hours }: HourGroup, where: string): Promise<number> {
  const [row] = await shard.all(
    `SELECT count() AS views FROM (SELECT * FROM post_view_rows FINAL WHERE ${hours} AND ${where})`,
  )
  return Number(row!['views'])
}

/** Derives the rows that match `where` again, under the epoch of `state`. Returns how many there were. */
export async function deriveAgain(
  engine: Engine,
  shard: Shard,
  state: State,
  keys: ReadonlyMap<Day, DayKey>,
  group: HourGroup,
  where: string,
): Promise<number> {
  const from = `SELECT * FROM post_view_rows FINAL WHERE ${group.hours} AND ${where}`
  const views = await viewsIn(shard, group, where)
  if (views === 0) return 0
  const { given, key, loggedIn, ...derived } = derivedOf(engine, state, keys, group)
  const version = versionOf(String(state.epoch), key, RECEIVED, IS_FORGOTTEN)
  await shard.run(insertChanged(from, { ...derived, logged_in: loggedIn, version }, given))
  return views
}

/**
 * Hashes the readers of a day under its new key. A row that has lost its address gets the hash of other rows of its reader.
 * A reader without any address left keeps the old hash, and counts once more when coming back.
 */
export async function hashAgain(
  { settings }: Engine,
  shard: Shard,
  rows: string,
  { number, secret }: DayKey,
): Promise<void> {
  const known = `SELECT post, visitor, any(${visitorUnder(`'${secret}'`, settings.uniqueBy)}) AS hashed FROM (${rows})
    WHERE ip IS NOT NULL GROUP BY post, visitor`
  const from = `SELECT d.*, k.hashed AS hashed FROM (${rows}) AS d INNER JOIN (${known}) AS k ON d.post = k.post AND d.visitor = k.visitor`
  const version = versionOf(EPOCH, String(number), RECEIVED, IS_FORGOTTEN)
  await shard.run(insertChanged(from, { visitor: 'r.hashed', version }))
}
