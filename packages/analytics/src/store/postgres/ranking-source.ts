/** The source of rankings on a server: a connection in their own thread, so that no other thread reads their rows. */

import { type RankingSource, rowsOfPosts } from '../sql/ranking-cache.ts'
import type { Server } from '../sql/server-address.ts'
import { PostgresConnections } from './connection.ts'

/** Enough to read a million posts. */
const READ = { most: 1, statementLimitMs: 60_000 }

const POSTS_AT_ONCE = 10_000

export function openRankingSource(server: Server): RankingSource {
  const connections = new PostgresConnections(server, READ)
  return {
    // Nothing to check: what a server answered stays valid for that moment.
    check() {},
    snapshot: work =>
      connections.transaction(async client => {
        return work({
          rows: (sql, values) => client.arrays(sql, values),
          posts: async (day, counted, use) => {
            const rows = await client.arrays(rowsOfPosts(day, counted), day === null ? [] : [day])
            for (let from = 0; from < rows.length; from += POSTS_AT_ONCE)
              use(rows.slice(from, from + POSTS_AT_ONCE))
          },
        })
      }, SNAPSHOT),
    close: () => connections.close(),
  }
}

/** Begins a transaction that sees one snapshot. */
export const SNAPSHOT = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY'
