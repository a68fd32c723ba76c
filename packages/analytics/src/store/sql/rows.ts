/** Reads raw rows, some thousand at a time, and writes their derived columns if these are wrong. */

import type { Day } from '../days.ts'
import type { Derived, RawRow } from '../derive-again.ts'
import { SUMMED, SUMMED_NAMES, type SummedName } from '../figures.ts'
import { KEPT } from '../kept.ts'
import { WHO_TEXTS, type WhoText } from '../who-again.ts'
import { figure, type SqlClient, type SqlEngine, type SqlRow, type SqlValue } from './sql.ts'

const ROWS_AT_ONCE = 5_000
const HOUR_SECONDS = 3_600

const selectRows = ({ dialect }: SqlClient) => `
  SELECT id, post_uuid, user_id, ip, user_agent, referer, utm, viewed_at, received_at,
         day, slice, hour_of_day, logged_in, bot, ${dialect.hex('visitor')} AS visitor, visitor IS NULL AS uncounted, referer_host,
         ${SUMMED_NAMES.map(name => `${SUMMED[name].sql} AS adds_${name}`).join(', ')}
  FROM post_views`

/** Raw rows in the order of their numbers, some at a time; `where` narrows them. */
export async function* rawRows(
  { fromTime }: SqlEngine,
  client: SqlClient,
  {
    after = 0,
    where = '1 = 1',
    values = [],
  }: { after?: number; where?: string; values?: (string | number | null)[] } = {},
): AsyncGenerator<RawRow[]> {
  let last = after
  for (;;) {
    const rows = await client.all(
      `${selectRows(client)} WHERE id > ? AND ${where} ORDER BY id LIMIT ${ROWS_AT_ONCE}`,
      [last, ...values],
    )
    if (rows.length === 0) return
    yield rows.map(row => toRawRow(row, fromTime))
    last = Number(rows.at(-1)!['id'])
    if (rows.length < ROWS_AT_ONCE) return
  }
}

/**
 * Raw rows with moments from `from` to before `to` (Unix seconds), in order of time, some at a time. `where` narrows them; no
 * statement searches more than one hour of rows.
 */
export async function* rowsBetween(
  { fromTime, toTime }: SqlEngine,
  client: SqlClient,
  from: number,
  to: number,
  { where = '1 = 1', values = [] }: { where?: string; values?: SqlValue[] } = {},
): AsyncGenerator<RawRow[]> {
  const select = async (moments: string, bounds: SqlValue[]) => {
    const rows = await client.all(
      `${selectRows(client)} WHERE ${moments} AND ${where} ORDER BY viewed_at, id LIMIT ${ROWS_AT_ONCE}`,
      [...bounds, ...values],
    )
    return rows.map(row => toRawRow(row, fromTime))
  }
  for (let hour = from; ; ) {
    const [next] = await client.all(
      'SELECT MIN(viewed_at) AS time FROM post_views WHERE viewed_at >= ? AND viewed_at < ?',
      [toTime(hour), toTime(to)],
    )
    if (next!['time'] === null) return
    const start = fromTime(next!['time'])
    hour = Math.min(start + HOUR_SECONDS, to)
    const end = toTime(hour)
    let rows = await select('viewed_at >= ? AND viewed_at < ?', [toTime(start), end])
    while (rows.length > 0) {
      yield rows
      const { id, viewedAt } = rows.at(-1)!
      if (rows.length < ROWS_AT_ONCE) break
      // First the rest of the same second, which may have any number of rows.
      rows = await select('viewed_at = ? AND id > ?', [toTime(viewedAt), id])
      if (rows.length === ROWS_AT_ONCE) continue
      if (rows.length > 0) yield rows
      rows = await select('viewed_at > ? AND viewed_at < ?', [toTime(viewedAt), end])
    }
  }
}

/** About how many raw rows there are: removed ones may be included. */
export async function rowsAbout(client: SqlClient): Promise<number> {
  const [range] = await client.all('SELECT MIN(id) AS first, MAX(id) AS last FROM post_views')
  return range!['last'] === null ? 0 : Number(range!['last']) - Number(range!['first']) + 1
}

function toRawRow(row: SqlRow, fromTime: SqlEngine['fromTime']): RawRow {
  const text = (column: string): string | null => (row[column] === null ? null : String(row[column]))
  return {
    id: Number(row['id']),
    postUuid: String(row['post_uuid']),
    userId: text('user_id'),
    ip: text('ip'),
    userAgent: text('user_agent'),
    referer: text('referer'),
    utm: text('utm'),
    viewedAt: fromTime(row['viewed_at']),
    receivedAt: row['received_at'] === null ? null : fromTime(row['received_at']),
    derived: {
      post_uuid: String(row['post_uuid']),
      day: text('day'),
      slice: figure(row['slice']),
      hour_of_day: figure(row['hour_of_day']),
      logged_in: figure(row['logged_in']),
      bot: figure(row['bot']),
      visitor: Number(row['uncounted']) === 1 ? null : text('visitor'),
      referer_host: text('referer_host'),
    },
    adds: addsOf(row),
  }
}

function addsOf(row: SqlRow): Record<SummedName, number> {
  const adds: Partial<Record<SummedName, number>> = {}
  for (const name of SUMMED_NAMES) adds[name] = figure(row[`adds_${name}`]) ?? 0
  return adds as Record<SummedName, number>
}

/**
 * Writes the derived columns of one row. A row that was neither counted nor adopted counts from now on.
 *
 * @param texts of such a row; null: what the row says of its reader stays
 */
export function writeDerived(
  engine: SqlEngine,
  client: SqlClient,
  row: RawRow,
  derived: Derived,
  texts: Record<WhoText, string | null> | null,
): Promise<number> {
  const uncounted = row.derived.day === null
  const who = texts === null ? [] : WHO_TEXTS
  return client.run(
    `UPDATE post_views
     SET post_uuid = ?, viewed_at = viewed_at, received_at = ?, day = ?, slice = ?, hour_of_day = ?, logged_in = ?, bot = ?,
         visitor = ${derived.visitor === null ? 'NULL' : client.dialect.bytes(derived.visitor)}, referer_host = ?
         ${who.map(name => `, ${KEPT[name].column} = ?`).join('')}
     WHERE id = ?`,
    [
      derived.post_uuid,
      row.receivedAt !== null
        ? engine.toTime(row.receivedAt)
        : uncounted
          ? engine.toTime(row.viewedAt)
          : null,
      derived.day,
      derived.slice,
      derived.hour_of_day,
      derived.logged_in,
      derived.bot,
      derived.referer_host,
      ...who.map(name => texts![name]),
      row.id,
    ],
  )
}

/** The keys of open days, but not of days that are being opened again: only some of their rows are hashed under these. */
export async function dayKeys(client: SqlClient): Promise<Map<Day, string>> {
  const rows = await client.all('SELECT day, secret FROM post_view_day_keys WHERE reopening IS NULL')
  return new Map(rows.map(row => [String(row['day']), String(row['secret'])]))
}

/** Whether the readers who were counted on the day are listed. */
export async function isOpen(client: SqlClient, openFrom: Day | null, day: Day): Promise<boolean> {
  const [key] = await client.all('SELECT reopening FROM post_view_day_keys WHERE day = ?', [day])
  return key === undefined ? openFrom === null || day >= openFrom : key['reopening'] === null
}

/** Whether the day is being opened again: until then its readers cannot be compared with its rows. */
export async function isBeingReopened(client: SqlClient, day: Day): Promise<boolean> {
  const [key] = await client.all('SELECT reopening FROM post_view_day_keys WHERE day = ?', [day])
  return key !== undefined && key['reopening'] !== null
}

/** The day's key; null when it has none, or none any more. */
export async function secretOf(client: SqlClient, day: Day): Promise<string | null> {
  const [row] = await client.all('SELECT secret FROM post_view_day_keys WHERE day = ?', [day])
  return row === undefined ? null : String(row['secret'])
}
