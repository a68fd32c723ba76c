import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { storeContract } from './store-contract.ts'
import { damageSql } from './support/sql-damage.ts'
import { keptInSql, SQL_COUNTERS } from './support/sql-kept.ts'

storeContract('SQLite', {
  async create() {
    const folder = await mkdtemp(join(tmpdir(), 'postviews-sqlite-'))
    return { url: `sqlite:${join(folder, 'views.db')}`, remove: () => rm(folder, { recursive: true }) }
  },
  damage: (url, damage) =>
    damageSql(async statement => {
      using database = opened(url)
      return Number(database.prepare(statement).run().changes)
    }, damage),
  kept: url =>
    keptInSql(async statement => {
      using database = opened(url)
      return database.prepare(statement).all()
    }),
  counters: SQL_COUNTERS,
  unkeepable: { receivedAt: 2 ** 63 },
})

function opened(url: string): DatabaseSync {
  return new DatabaseSync(url.slice('sqlite:'.length), { timeout: 5_000 })
}
