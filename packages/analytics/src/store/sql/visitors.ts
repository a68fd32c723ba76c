/** The list of visitors: who was counted as unique, for the days that are open. */

import type { Day } from '../calendar.ts'
import type { SqlClient } from './sql.ts'
import { raiseRebuilds } from './turn.ts'

/** Removes visitors of the day, about so many; false when none are left. A big post goes in several turns. */
export async function dropVisitors(client: SqlClient, day: Day, rows: number): Promise<boolean> {
  // Not named as the column is: the rows would be sorted by the digits, all of the day's.
  const [edge] = await client.all(
    `SELECT post_uuid, slice, ${client.dialect.hex('visitor')} AS digits
     FROM post_view_visitors
     WHERE day = ?
     ORDER BY post_uuid, slice, visitor
     LIMIT 1 OFFSET ?`,
    [day, rows],
  )
  if (edge === undefined) {
    await client.run('DELETE FROM post_view_visitors WHERE day = ?', [day])
    return false
  }
  const post = String(edge['post_uuid'])
  const slice = Number(edge['slice'])
  // Three ranges of the key: as one condition, MariaDB would look through the whole day.
  await client.run('DELETE FROM post_view_visitors WHERE day = ? AND post_uuid < ?', [day, post])
  await client.run('DELETE FROM post_view_visitors WHERE day = ? AND post_uuid = ? AND slice < ?', [
    day,
    post,
    slice,
  ])
  await client.run(
    `DELETE FROM post_view_visitors WHERE day = ? AND post_uuid = ? AND slice = ? AND visitor < ${client.dialect.bytes(String(edge['digits']))}`,
    [day, post, slice],
  )
  return true
}

/** As SQL: the rows' readers that are not listed yet, each once in a window. */
function unlisted(counts: string, ids: readonly number[]): string {
  return `
    SELECT DISTINCT post_views.day, post_views.post_uuid, post_views.slice, post_views.visitor
    FROM post_views
    LEFT JOIN post_view_visitors AS known
      ON known.day = post_views.day AND known.post_uuid = post_views.post_uuid
      AND known.slice = post_views.slice AND known.visitor = post_views.visitor
    WHERE post_views.id IN (${ids.join()}) AND ${counts} = 1 AND known.day IS NULL`
}

/** Lists the rows' readers. @param counts whether a row counts, as SQL */
export async function listReaders(client: SqlClient, counts: string, ids: readonly number[]): Promise<void> {
  await client.run(`INSERT INTO post_view_visitors (day, post_uuid, slice, visitor) ${unlisted(counts, ids)}`)
}

/** Lists the rows' readers as well, and counts those who were not listed as unique. All rows are of that day. */
export async function listAndCountReaders(
  client: SqlClient,
  counts: string,
  day: Day,
  ids: readonly number[],
): Promise<void> {
  const fresh = await client.all(
    `SELECT post_uuid, COUNT(*) AS readers FROM (${unlisted(counts, ids)}) AS fresh GROUP BY post_uuid`,
  )
  if (fresh.length === 0) return
  await listReaders(client, counts, ids)
  let ofSite = 0
  for (const row of fresh) {
    const readers = Number(row['readers'])
    ofSite += readers
    // Null, where adopted rows leave the day unknown, stays so, and the total leaves the day out.
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
