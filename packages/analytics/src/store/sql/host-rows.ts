/** What the raw rows of a day say of its hosts. */

import type { Day } from '../calendar.ts'
import { counted, rowsOfDay } from './recount.ts'
import type { HostTable } from './settle.ts'
import type { SqlClient, SqlEngine, SqlRow, SqlValue, State } from './sql.ts'

export interface Sql {
  sql: string
  values: SqlValue[]
}

/** Views of one post from one host. */
export interface HostViews {
  post: string
  host: string
  views: number
}

export const ROWS_AT_ONCE = 20_000

/**
 * The views of each host by the raw rows of a day, as a SELECT of `post_uuid`, `host` and `views`; of the site's without
 * the post. Of days that adopted rows leave unknown, only what was counted since.
 */
export function hostsOfRows(engine: SqlEngine, { hasPosts }: HostTable, day: Day): Sql {
  const { where, values } = rowsOfDay(engine, day)
  const key = `${hasPosts ? 'post_views.post_uuid, ' : ''}post_views.referer_host`
  const unknown = adoptedUnexplained(engine, day)
  return {
    sql: `
      SELECT ${key} AS host, COUNT(*) AS views FROM post_views
      LEFT JOIN (${unknown.sql}) AS unknown_posts ON unknown_posts.post_uuid = post_views.post_uuid
      WHERE ${where} AND ${counted(engine)} = 1
        AND (unknown_posts.post_uuid IS NULL OR post_views.received_at IS NOT NULL)
      GROUP BY ${key}`,
    values: [...unknown.values, ...values],
  }
}

function adoptedUnexplained(engine: SqlEngine, day: Day): Sql {
  const { where, values } = rowsOfDay(engine, day)
  return {
    sql: `
      SELECT post_uuid
      FROM (
        SELECT post_uuid, 0 AS baseline, COUNT(*) AS adopted_rows
        FROM post_views WHERE ${where} AND received_at IS NULL GROUP BY post_uuid
        UNION ALL
        SELECT post_uuid, baseline, 0 FROM post_view_aggregates WHERE date = ? AND baseline <> 0
      ) AS adopted
      GROUP BY post_uuid
      HAVING SUM(baseline) <> SUM(adopted_rows)`,
    values: [...values, day],
  }
}

/** Posts of which adopted rows do not explain the day's adopted views: of them only what was counted since has a host. */
export async function unknownPosts(
  engine: SqlEngine,
  client: SqlClient,
  { adoptedAt }: State,
  day: Day,
): Promise<ReadonlySet<string>> {
  // Where nothing was adopted there are none, and nobody looks through all rows for them.
  if (adoptedAt === null) return new Set()
  const { sql, values } = adoptedUnexplained(engine, day)
  return new Set((await client.all(sql, values)).map(({ post_uuid }) => String(post_uuid)))
}

/**
 * The same row by row, some thousand at a time, along the index on the time of views: MariaDB takes several times as long to
 * group them.
 *
 * @param unknown as `unknownPosts` tells them
 * @param last of rows up to this id alone
 */
export async function* viewsFromHosts(
  engine: SqlEngine,
  client: SqlClient,
  day: Day,
  unknown: ReadonlySet<string>,
  last = Number.MAX_SAFE_INTEGER,
): AsyncGenerator<HostViews[]> {
  const [from, until] = rowsOfDay(engine, day).values as [SqlValue, SqlValue]
  let [start, first] = ['viewed_at >= ?', from]
  for (;;) {
    const [edge] = await client.all(
      `SELECT viewed_at FROM post_views
       WHERE ${start} AND viewed_at < ?
       ORDER BY viewed_at
       LIMIT 1 OFFSET ${ROWS_AT_ONCE}`,
      [first, until],
    )
    const [end, through] =
      edge === undefined ? ['viewed_at < ?', until] : ['viewed_at <= ?', edge['viewed_at'] as SqlValue]
    const rows = await client.all(
      `SELECT post_uuid, referer_host AS host, 1 AS views, received_at IS NULL AS is_adopted
       FROM post_views
       WHERE ${start} AND ${end} AND id <= ? AND day = ? AND ${counted(engine)} = 1`,
      [first, through, last, day],
    )
    yield rows
      .filter(row => Number(row['is_adopted']) === 0 || !unknown.has(String(row['post_uuid'])))
      .map(toHostViews)
    if (edge === undefined) return
    ;[start, first] = ['viewed_at > ?', through]
  }
}

/** What was counted of the day in rows of these ids: after the first, up to the last. */
export async function viewsOfIds(
  engine: SqlEngine,
  client: SqlClient,
  day: Day,
  [after, last]: readonly [number, number],
): Promise<HostViews[]> {
  const rows = await client.all(
    `SELECT post_uuid, referer_host AS host, COUNT(*) AS views
     FROM post_views
     WHERE id > ? AND id <= ? AND day = ? AND received_at IS NOT NULL AND ${counted(engine)} = 1
     GROUP BY post_uuid, referer_host`,
    [after, last, day],
  )
  return rows.map(toHostViews)
}

function toHostViews({ post_uuid, host, views }: SqlRow): HostViews {
  return { post: String(post_uuid), host: String(host), views: Number(views) }
}
