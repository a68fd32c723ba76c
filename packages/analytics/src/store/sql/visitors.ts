/** The list of visitors: who was counted as unique, for the days that are open. */

import type { Day } from '../days.ts'
import type { Dialect, SqlClient, SqlValue } from './sql.ts'
import { raiseRebuilds } from './turn.ts'

/** Removes about `rows` visitors of the day; false if none are left. A big post takes several calls. */
export async function dropVisitors(client: SqlClient, day: Day, rows: number): Promise<boolean> {
  // Not named like the column: all rows of the day would then be sorted by the digits.
  const { post: key, bytes, hex } = client.dialect
  const [edge] = await client.all(
    `SELECT ${key} AS post, slice, ${hex('visitor')} AS digits
     FROM post_view_visitors
     WHERE day = ?
     ORDER BY ${key}, slice, visitor
     LIMIT 1 OFFSET ?`,
    [day, rows],
  )
  if (edge === undefined) {
    await client.run('DELETE FROM post_view_visitors WHERE day = ?', [day])
    return false
  }
  const post = edge['post'] as SqlValue
  const slice = Number(edge['slice'])
  // Three ranges of the key: as one condition, MariaDB would look through the whole day.
  await client.run(`DELETE FROM post_view_visitors WHERE day = ? AND ${key} < ?`, [day, post])
  await client.run(`DELETE FROM post_view_visitors WHERE day = ? AND ${key} = ? AND slice < ?`, [
    day,
    post,
    slice,
  ])
  await client.run(
    `DELETE FROM post_view_visitors WHERE day = ? AND ${key} = ? AND slice = ? AND visitor < ${bytes(String(edge['digits']))}`,
    [day, post, slice],
  )
  return true
}

/** As SQL: the rows' readers that are not listed yet, each once in a window. */
function unlisted({ post }: Dialect, counts: string, ids: readonly number[]): string {
  return `
    SELECT DISTINCT post_views.day, post_views.post_uuid, post_views.slice, post_views.visitor
    FROM post_views
    WHERE post_views.id IN (${ids.join()}) AND ${counts} = 1 AND NOT EXISTS (
      SELECT 1 FROM post_view_visitors AS known
      WHERE known.day = post_views.day AND known.${post} = post_views.${post}
        AND known.slice = post_views.slice AND known.visitor = post_views.visitor
    )`
}

/** Lists the rows' readers. @param counts whether a row counts, as SQL */
export async function listReaders(client: SqlClient, counts: string, ids: readonly number[]): Promise<void> {
  await client.run(
    `INSERT INTO post_view_visitors (day, post_uuid, slice, visitor) ${unlisted(client.dialect, counts, ids)}`,
  )
}

/** Lists the rows' readers, and counts those who were not listed before as unique. All rows are of this day. */
export async function listAndCountReaders(
  client: SqlClient,
  counts: string,
  day: Day,
  ids: readonly number[],
): Promise<void> {
  const fresh = await client.all(
    `SELECT post_uuid, COUNT(*) AS readers FROM (${unlisted(client.dialect, counts, ids)}) AS fresh GROUP BY post_uuid`,
  )
  if (fresh.length === 0) return
  await listReaders(client, counts, ids)
  let ofSite = 0
  for (const row of fresh) {
    const readers = Number(row['readers'])
    ofSite += readers
    // If adopted rows leave the day unknown, null stays null, and the total does not include the day.
    const known = await client.run(
      `UPDATE post_view_aggregates SET unique_views = unique_views + ?
       WHERE post_uuid = ? AND date = ? AND unique_views IS NOT NULL`,
      [readers, String(row['post_uuid']), day],
    )
    if (known === 0) continue
    await client.run('UPDATE post_view_totals SET unique_views = unique_views + ? WHERE post_uuid = ?', [
      readers,
      String(row['post_uuid']),
    ])
  }
  await client.run('UPDATE site_view_aggregates SET unique_views = unique_views + ? WHERE date = ?', [
    ofSite,
    day,
  ])
  await raiseRebuilds(client)
}
