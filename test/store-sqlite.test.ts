import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { storeContract } from './store-contract.ts'
import { damageSql } from './support/sql-damage.ts'
import { keptInSql, SQL_COUNTERS } from './support/sql-kept.ts'

/** The tables behind views. */
const TABLES: Record<string, string> = {
  post_view_visitors: 'post_view_visitor_rows',
  post_view_unpacked: 'post_view_unpacked_rows',
}

storeContract('SQLite', {
  async create() {
    const folder = await mkdtemp(join(tmpdir(), 'postviews-sqlite-'))
    return { url: `sqlite:${join(folder, 'views.db')}`, remove: () => rm(folder, { recursive: true }) }
  },
  damage: (url, damage) =>
    damageSql(
      {
        async change(statement) {
          using database = opened(url)
          // So that a table can be renamed and come back, without changing the views that read it.
          database.exec('PRAGMA legacy_alter_table = ON')
          database.prepare(statement).run()
          // SQLite counts only here what triggers change for a view.
          return Number(database.prepare('SELECT total_changes() AS total').get()!['total'])
        },
        query: queryOn(url),
      },
      damage,
    ),
  kept: url => keptInSql(queryOn(url)),
  counters: [...SQL_COUNTERS.map(table => TABLES[table] ?? table), 'post_view_texts'],
  unkeepable: { receivedAt: 2 ** 63 },
})

function queryOn(url: string) {
  return async (statement: string) => {
    using database = opened(url)
    return database.prepare(statement).all()
  }
}

function opened(url: string): DatabaseSync {
  return new DatabaseSync(url.slice('sqlite:'.length), { timeout: 5_000 })
}
