import { testPostgres } from '../../tools/stack/for-tests.ts'
import { storeContract } from '../store-contract.ts'
import { bytesLiteral, postgresDatabase, rowsChanged } from '../support/postgres.ts'
import { damageSql } from '../support/sql-damage.ts'
import { keptInSql, SQL_COUNTERS } from '../support/sql-kept.ts'

storeContract('PostgreSQL', {
  async create() {
    const { url, drop } = await testPostgres()
    return { url, remove: drop }
  },
  damage: (url, damage) =>
    damageSql(
      {
        change: statement => rowsChanged(url, statement),
        query: statement => postgresDatabase(url).query(statement),
        bytes: bytesLiteral,
      },
      damage,
    ),
  kept: url => keptInSql(statement => postgresDatabase(url).query(statement)),
  counters: SQL_COUNTERS,
  unkeepable: { receivedAt: 2 ** 63 },
})
