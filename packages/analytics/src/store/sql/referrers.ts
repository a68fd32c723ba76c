/** The hosts that readers came from, by post and day and by day of the site: recounted, compared, put right. */

import type { Day } from '../calendar.ts'
import type { Difference } from '../store.ts'
import { counted, differences, type Pair, rowsOfDay } from './recount.ts'
import type { SqlClient, SqlEngine, SqlRow, State } from './sql.ts'

interface PostHost {
  post: string
  host: string
}

/** What differs of the day; where its raw rows are gone, only whether the site's hosts are the sums of the posts'. */
export async function verifyReferrers(
  engine: SqlEngine,
  client: SqlClient,
  state: State,
  day: Day,
): Promise<Difference[]> {
  const posts = hasRows(state, day) ? await referrersOfDay(engine, client, day) : []
  return [
    ...posts.flatMap(({ key, expected, found }) =>
      differences(
        'referrer',
        `post ${key.post} on ${day} from ${key.host || 'nowhere'}`,
        asCount(expected),
        asCount(found),
      ),
    ),
    ...(await siteReferrers(client, day, posts)).flatMap(({ key, expected, found }) =>
      differences(
        'site_referrer',
        `site on ${day} from ${key || 'nowhere'}`,
        asCount(expected),
        asCount(found),
      ),
    ),
  ]
}

/** Puts the day's hosts right. Returns how many were wrong. */
export function rebuildReferrers(engine: SqlEngine, day: Day): Promise<number> {
  return engine.exclusive(async (client, state) => {
    let fixed = 0
    if (hasRows(state, day)) {
      for (const { key, expected, found } of await referrersOfDay(engine, client, day)) {
        if (expected === found) continue
        await client.run('DELETE FROM post_view_referrers WHERE post_uuid = ? AND date = ? AND host = ?', [
          key.post,
          day,
          key.host,
        ])
        if (expected !== null) {
          await client.run(
            'INSERT INTO post_view_referrers (post_uuid, date, host, view_count) VALUES (?, ?, ?, ?)',
            [key.post, day, key.host, expected],
          )
        }
        fixed++
      }
    }
    fixed += await rebuildSiteReferrers(client, day)
    // Whoever keeps what was read of a day in memory learns from this that it was changed.
    if (fixed > 0) await client.run('UPDATE post_view_rebuilds SET rebuilds = rebuilds + 1 WHERE id = 1')
    return fixed
  })
}

/** Sums up the hosts of the site's day again. Returns how many were wrong. */
export async function rebuildSiteReferrers(client: SqlClient, day: Day): Promise<number> {
  let fixed = 0
  for (const { key, expected, found } of await siteReferrers(client, day, [])) {
    if (expected === found) continue
    await client.run('DELETE FROM site_view_referrers WHERE date = ? AND host = ?', [day, key])
    if (expected !== null) {
      await client.run('INSERT INTO site_view_referrers (date, host, view_count) VALUES (?, ?, ?)', [
        day,
        key,
        expected,
      ])
    }
    fixed++
  }
  return fixed
}

function hasRows({ rawFrom }: State, day: Day): boolean {
  return rawFrom === null || day >= rawFrom
}

function asCount(count: number | null): { view_count: number } | null {
  return count === null ? null : { view_count: count }
}

/** Every post and host of the day; of days that adopted rows leave unknown, only what was counted since. */
export async function referrersOfDay(
  engine: SqlEngine,
  client: SqlClient,
  day: Day,
): Promise<Pair<PostHost, number>[]> {
  const { where, values } = rowsOfDay(engine, day)
  const rows = await client.all(
    `SELECT post_uuid, referer_host AS host, COUNT(*) AS all_views, COUNT(received_at) AS own_views
     FROM post_views
     WHERE ${where} AND ${counted(engine)} = 1
     GROUP BY post_uuid, referer_host`,
    values,
  )
  const stored = await client.all(
    'SELECT post_uuid, host, view_count FROM post_view_referrers WHERE date = ?',
    [day],
  )

  const unknown = await unknownPosts(engine, client, day)
  const pairs = new Map<string, Pair<PostHost, number>>()
  const pairOf = (row: SqlRow): Pair<PostHost, number> => {
    const key = { post: String(row['post_uuid']), host: String(row['host']) }
    const text = `${key.post}\n${key.host}`
    const pair = pairs.get(text) ?? { key, expected: null, found: null }
    pairs.set(text, pair)
    return pair
  }
  for (const row of rows) {
    const views = Number(unknown.has(String(row['post_uuid'])) ? row['own_views'] : row['all_views'])
    if (views > 0) pairOf(row).expected = views
  }
  for (const row of stored) pairOf(row).found = Number(row['view_count'])
  return [...pairs.values()]
}

/** Posts of which adopted rows do not explain the day's adopted views. */
async function unknownPosts(engine: SqlEngine, client: SqlClient, day: Day): Promise<Set<string>> {
  const { where, values } = rowsOfDay(engine, day)
  const rows = await client.all(
    `SELECT post_uuid
     FROM (
       SELECT post_uuid, 0 AS baseline, COUNT(*) AS adopted_rows
       FROM post_views WHERE ${where} AND received_at IS NULL GROUP BY post_uuid
       UNION ALL
       SELECT post_uuid, baseline, 0 FROM post_view_aggregates WHERE date = ? AND baseline <> 0
     ) AS adopted
     GROUP BY post_uuid
     HAVING SUM(baseline) <> SUM(adopted_rows)`,
    [...values, day],
  )
  return new Set(rows.map(row => String(row['post_uuid'])))
}

/** The site's hosts of a day: sums over its posts, of which `posts` may tell what they must be, and what is stored. */
async function siteReferrers(
  client: SqlClient,
  day: Day,
  posts: readonly Pair<PostHost, number>[],
): Promise<Pair<string, number>[]> {
  const pairs = new Map<string, Pair<string, number>>()
  const pairOf = (host: unknown): Pair<string, number> => {
    const key = String(host)
    const pair = pairs.get(key) ?? { key, expected: null, found: null }
    pairs.set(key, pair)
    return pair
  }
  const sums =
    'SELECT host, SUM(view_count) AS view_count FROM post_view_referrers WHERE date = ? GROUP BY host'
  for (const row of await client.all(sums, [day])) pairOf(row['host']).expected = Number(row['view_count'])
  for (const { key, expected, found } of posts) {
    if (expected === found) continue
    const pair = pairOf(key.host)
    pair.expected = (pair.expected ?? 0) + (expected ?? 0) - (found ?? 0) || null
  }
  const stored = 'SELECT host, view_count FROM site_view_referrers WHERE date = ?'
  for (const row of await client.all(stored, [day])) pairOf(row['host']).found = Number(row['view_count'])
  return [...pairs.values()]
}
