/** What rankings are read from on a server: a connection of their own thread, so that no other thread reads their rows. */

import type { RankingSource } from '../sql/ranking-cache.ts'
import type { Server } from '../sql/server-address.ts'
import { MysqlConnection } from './connection.ts'

/** A million posts. */
const READ = { statementLimitMs: 60_000 }

// As they come, each packet in a turn of the event loop of its own. In pages by `id` the server reads a day's index from its
// beginning for each page.
const DAY =
  'SELECT post_uuid, view_count, unique_views FROM post_view_aggregates WHERE date = ? AND view_count > 0'
const TOTALS = 'SELECT post_uuid, views, unique_views FROM post_view_totals WHERE views > 0'

export function openRankingSource(server: Server): RankingSource {
  const connection = new MysqlConnection(server, READ)
  return {
    // What a server said a moment ago holds for that moment, whatever has become of it.
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
          // The first error tells. What was begun must not be gone on with.
          client.abandon()
          throw error
        }
      }),
    close: () => connection.close(),
  }
}
