/** The list of visitors: who was counted as unique, for the days that are open. */

import type { CountingSettings } from '../counting-settings.ts'
import type { Day } from '../days.ts'
import { UNIQUE_NAMES, type UniqueName } from '../figures.ts'
import { BOT, BOTH, newlyUnique, PERSON } from '../readers.ts'
import { figure, type SqlClient, type SqlValue } from './sql.ts'
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

/** What is added to the unique views of a post. */
type Added = Record<UniqueName, number>

interface FoundReader {
  post: string
  slice: number
  /** Hex digits. */
  visitor: string
  /** As what the reader was listed; null: not listed. */
  before: number | null
  /** As what the rows saw it. */
  seen: number
}

/** The readers of a few rows. */
async function readersOf(client: SqlClient, ids: readonly number[]): Promise<FoundReader[]> {
  const { post: key, hex } = client.dialect
  const rows = await client.all(
    `SELECT post_views.post_uuid AS post_uuid, post_views.slice AS slice, ${hex('post_views.visitor')} AS digits,
            post_views.bot AS bot, known.seen AS known
     FROM post_views
     LEFT JOIN post_view_visitors AS known
       ON known.day = post_views.day AND known.${key} = post_views.${key}
       AND known.slice = post_views.slice AND known.visitor = post_views.visitor
     WHERE post_views.id IN (${ids.join()})`,
  )
  const readers = new Map<string, FoundReader>()
  for (const row of rows) {
    const place = {
      post: String(row['post_uuid']),
      slice: Number(row['slice']),
      visitor: String(row['digits']),
    }
    const id = `${place.slice} ${place.visitor} ${place.post}`
    const seen = Number(row['bot']) === 1 ? BOT : PERSON
    const reader = readers.get(id)
    if (reader === undefined) readers.set(id, { ...place, before: figure(row['known']), seen })
    else reader.seen |= seen
  }
  return [...readers.values()]
}

/** Lists the readers of a few rows, all of this day, and returns what they add to the unique views of each post. */
export async function listReaders(
  client: SqlClient,
  settings: CountingSettings,
  day: Day,
  ids: readonly number[],
): Promise<Map<string, Added>> {
  const { bytes, post: key, postKey } = client.dialect
  const sums = new Map<string, Added>()
  const fresh: FoundReader[] = []
  for (const reader of await readersOf(client, ids)) {
    const { post, slice, visitor, before, seen } = reader
    const added = newlyUnique(before, seen, settings)
    if (added === null) continue
    const sum = sums.get(post)
    if (sum === undefined) sums.set(post, added)
    else for (const name of UNIQUE_NAMES) sum[name] += added[name]
    if (before === null) {
      fresh.push(reader)
      continue
    }
    await client.run(
      `UPDATE post_view_visitors SET seen = ${BOTH}
       WHERE day = ? AND ${key} = ${postKey('?')} AND slice = ? AND visitor = ${bytes(visitor)}`,
      [day, post, slice],
    )
  }
  if (fresh.length > 0) {
    const row = ({ visitor, seen }: FoundReader) => `(?, ?, ?, ${bytes(visitor)}, ${seen})`
    await client.run(
      `INSERT INTO post_view_visitors (day, post_uuid, slice, visitor, seen) VALUES ${fresh.map(row).join(', ')}`,
      fresh.flatMap(({ post, slice }) => [day, post, slice]),
    )
  }
  return sums
}

const ADDED = UNIQUE_NAMES.map(name => `${name} = ${name} + ?`).join(', ')

/** Lists the readers of a few rows, all of this day, and counts those who were not listed before. */
export async function listAndCountReaders(
  client: SqlClient,
  settings: CountingSettings,
  day: Day,
  ids: readonly number[],
): Promise<void> {
  const sums = await listReaders(client, settings, day, ids)
  if (sums.size === 0) return
  const ofSite = UNIQUE_NAMES.map(() => 0)
  for (const [post, added] of sums) {
    const numbers = UNIQUE_NAMES.map(name => added[name])
    for (const [at, number] of numbers.entries()) ofSite[at]! += number
    // If adopted rows leave the day unknown, null stays null, and the total does not include the day.
    const known = await client.run(
      `UPDATE post_view_aggregates SET ${ADDED}
       WHERE post_uuid = ? AND date = ? AND unique_views IS NOT NULL`,
      [...numbers, post, day],
    )
    if (known === 0) continue
    await client.run(`UPDATE post_view_totals SET ${ADDED} WHERE post_uuid = ?`, [...numbers, post])
  }
  await client.run(`UPDATE site_view_aggregates SET ${ADDED} WHERE date = ?`, [...ofSite, day])
  await raiseRebuilds(client)
}
