/** Reads raw rows in the order of their views' times, by the index on these, a bounded number at a time. */

import type { SqlClient, SqlEngine, SqlRow } from './sql.ts'

/** The place of a row in that order. */
export interface Place {
  /** Unix seconds. */
  time: number
  id: number
}

export interface Span {
  /** Unix seconds; null: from the first row on. */
  from: number | null
  /** Not included; null: to the last row. */
  to: number | null
}

/**
 * The next rows of the span after a place: all that are there, up to `count`. The caller decides which of them to use.
 *
 * @param columns in addition to `id` and `viewed_at`
 */
export async function rowsByTime(
  { toTime }: SqlEngine,
  client: SqlClient,
  { from, to }: Span,
  { after, count, columns }: { after: Place | null; count: number; columns: string },
): Promise<SqlRow[]> {
  const select = `SELECT id, viewed_at, ${columns} FROM post_views WHERE`
  // Two statements, each with one range: a condition that joins both would use no index.
  const sameSecond =
    after === null
      ? []
      : await client.all(`${select} viewed_at = ? AND id > ? ORDER BY id LIMIT ?`, [
          toTime(after.time),
          after.id,
          count,
        ])
  if (sameSecond.length === count) return sameSecond
  const begin = after === null ? (from === null ? [] : [toTime(from)]) : [toTime(after.time)]
  const end = to === null ? [] : [toTime(to)]
  const range = [
    ...begin.map(() => (after === null ? 'viewed_at >= ?' : 'viewed_at > ?')),
    ...end.map(() => 'viewed_at < ?'),
  ]
  const later = await client.all(
    `${select} ${range.length === 0 ? '1 = 1' : range.join(' AND ')} ORDER BY viewed_at, id LIMIT ?`,
    [...begin, ...end, count - sameSecond.length],
  )
  return [...sameSecond, ...later]
}

export function placeOf({ fromTime }: SqlEngine, row: SqlRow): Place {
  return { time: fromTime(row['viewed_at']), id: Number(row['id']) }
}
