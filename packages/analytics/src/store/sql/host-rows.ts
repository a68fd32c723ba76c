/** What the raw rows of a day say of its hosts. */

import type { Day } from '../calendar.ts'
import { counted, rowsOfDay } from './recount.ts'
import type { HostTable } from './settle.ts'
import type { SqlEngine, SqlValue } from './sql.ts'

export interface Sql {
  sql: string
  values: SqlValue[]
}

interface Narrowed {
  where?: string
  values?: SqlValue[]
  /** They are all of this service's own writing. */
  areOwn?: boolean
}

/**
 * The views of each host by the raw rows of a day, as a SELECT of `post_uuid`, `host` and `views`; of the site's without
 * the post. Of days that adopted rows leave unknown, only what was counted since.
 */
export function hostsOfRows(
  engine: SqlEngine,
  { hasPosts }: HostTable,
  day: Day,
  { where: also = '1 = 1', values: alsoValues = [], areOwn = false }: Narrowed = {},
): Sql {
  const { where, values } = rowsOfDay(engine, day)
  const key = `${hasPosts ? 'post_views.post_uuid, ' : ''}post_views.referer_host`
  const select = `SELECT ${key} AS host, COUNT(*) AS views FROM post_views`
  const those = `${where} AND ${counted(engine)} = 1 AND ${also}`
  if (areOwn) {
    return { sql: `${select} WHERE ${those} GROUP BY ${key}`, values: [...values, ...alsoValues] }
  }
  const unknown = unknownPosts(engine, day)
  return {
    sql: `
      ${select}
      LEFT JOIN (${unknown.sql}) AS unknown_posts ON unknown_posts.post_uuid = post_views.post_uuid
      WHERE ${those} AND (unknown_posts.post_uuid IS NULL OR post_views.received_at IS NOT NULL)
      GROUP BY ${key}`,
    values: [...unknown.values, ...values, ...alsoValues],
  }
}

/** Posts of which adopted rows do not explain the day's adopted views. */
export function unknownPosts(engine: SqlEngine, day: Day): Sql {
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
