/** The source of rankings on a server: a connection in their own thread, so that no other thread reads their rows. */

import type { RankingSource } from '../sql/ranking-cache.ts'
import type { Server } from '../sql/server-address.ts'
import { MysqlConnection } from './connection.ts'

/** Enough to read a million posts. */
const READ = { statementLimitMs: 60_000 }

// Rows are read as they arrive, each packet in its own turn of the event loop. For pages by `id`, the server would read a day's
// index from the beginning for each page.
const DAY = `
  SELECT post_uuid, view_count, unique_views, bots
  FROM post_view_aggregates
  WHERE date = ? AND (view_count > 0 OR bots > 0)`
const TOTALS = 'SELECT post_uuid, views, unique_views, bots FROM post_view_totals WHERE views > 0 OR bots > 0'

export function openRankingSource(server: Server): RankingSource {
  const connection = new MysqlConnection(server, READ)
  return {
    // Nothing to check: what a server answered stays valid for that moment.
    check() {},
    snapshot: work =>
      connection.session(async client => {
        await client.write('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ')
        await client.write('START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY')
        try {
          const result = await work({
            rows: async (sql, values) => {
              const rows: unknown[][] = []
              await client.each(sql, values, some => rows.push(...some))
              return rows
            },
            posts: (day, use) => client.each(day === null ? TOTALS : DAY, day === null ? [] : [day], use),
          })
          await client.write('COMMIT')
          return result
        } catch (error) {
          // The caller gets the first error. The open transaction must not be continued.
          client.abandon()
          throw error
        }
      }),
    close: () => connection.close(),
  }
}
