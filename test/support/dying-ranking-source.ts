/** The source of rankings on SQLite, in a thread that exits when asked for the year 1999, and fails when asked for 1998. */

import type { RankingSource } from '../../packages/analytics/src/store/sql/ranking-cache.ts'
import {
  type FileInUse,
  openRankingSource as openSqlite,
} from '../../packages/analytics/src/store/sqlite/ranking-source.ts'

export function openRankingSource(file: FileInUse): RankingSource {
  const source = openSqlite(file)
  return {
    check: () => source.check(),
    close: () => source.close(),
    snapshot: work =>
      source.snapshot(moment =>
        work({
          ...moment,
          rows(sql, values) {
            if (values[0] === '1999-01-01') process.exit(1)
            if (values[0] === '1998-01-01') {
              setImmediate(() => {
                throw new Error('a fault of the thread')
              })
              return new Promise(() => {})
            }
            return moment.rows(sql, values)
          },
        }),
      ),
  }
}
