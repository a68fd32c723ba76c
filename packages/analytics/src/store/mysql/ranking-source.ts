/** The source of rankings on a server: a connection in their own thread, so that no other thread reads their rows. */

import { type RankingSource, rowsOfPosts } from '../sql/ranking-cache.ts'
import type { Server } from '../sql/server-address.ts'
import { MysqlConnection } from './connection.ts'

/** Enough to read a million posts. */
const READ = { statementLimitMs: 60_000 }

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
            // Read as they arrive, each packet in its own turn of the event loop. For pages by `id`, the server would read a day's
            // index from the beginning for each page.
            posts: (day, counted, use) =>
              client.each(rowsOfPosts(day, counted), day === null ? [] : [day], use),
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
