/** Walks raw rows in the order of their numbers. */

import { figure, type SqlClient } from './sql.ts'

const IDS_AT_ONCE = 20_000

export interface IdRange {
  /** The number before the first. */
  after: number
  last: number
  /** How many rows it holds. */
  rows: number
}

/** The raw rows in the order of their numbers, as ranges that one statement looks through in well under a second. */
export async function* idRanges(
  client: SqlClient,
  { after = 0, upTo = null }: { after?: number; upTo?: number | null } = {},
): AsyncGenerator<IdRange> {
  for (let from = after; ; ) {
    const [edge] = await client.all(
      `SELECT MAX(id) AS last, COUNT(*) AS count
       FROM (
         SELECT id FROM post_views
         WHERE id > ? ${upTo === null ? '' : 'AND id <= ?'}
         ORDER BY id
         LIMIT ${IDS_AT_ONCE}
       ) AS part`,
      upTo === null ? [from] : [from, upTo],
    )
    const last = figure(edge!['last'])
    if (last === null) return
    yield { after: from, last, rows: Number(edge!['count']) }
    from = last
  }
}
