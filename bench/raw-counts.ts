/** What the same answers would cost without counters: SQL on the raw rows, with their indexes. */

import { BIG_POSTS } from './big-store.ts'
import type { BenchDatabase } from './databases.ts'
import { postUuids } from './events.ts'
import { summarize } from './measure.ts'

export interface RawCount {
  question: string
  /** Median of three runs, after a first one that reads the data into memory, as far as they fit. */
  tookMs: number
}

const TIMES = 3

export async function countRawRows(database: BenchDatabase): Promise<RawCount[]> {
  const [hot] = postUuids(BIG_POSTS)
  const ordinary = postUuids(BIG_POSTS)[1_000]
  const questions = [
    ['views of the hottest post', `SELECT COUNT(*) AS n FROM post_views WHERE post_uuid = '${hot}'`],
    ['views of the 1,000th post', `SELECT COUNT(*) AS n FROM post_views WHERE post_uuid = '${ordinary}'`],
    [
      'its views by day',
      `SELECT day, COUNT(*) AS n FROM post_views WHERE post_uuid = '${ordinary}' GROUP BY day`,
    ],
    [
      'ten most viewed posts',
      'SELECT post_uuid, COUNT(*) AS n FROM post_views GROUP BY post_uuid ORDER BY n DESC LIMIT 10',
    ],
  ] as const
  const counts: RawCount[] = []
  for (const [question, sql] of questions) {
    await database.query(sql)
    const took: number[] = []
    for (let time = 0; time < TIMES; time++) {
      const startMs = performance.now()
      await database.query(sql)
      took.push(performance.now() - startMs)
    }
    counts.push({ question, tookMs: summarize(took).median })
  }
  return counts
}
