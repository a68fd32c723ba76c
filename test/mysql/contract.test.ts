import { testMysql } from '../../tools/stack/for-tests.ts'
import { storeContract } from '../store-contract.ts'
import { MYSQL, mysqlDatabase } from '../support/engines.ts'
import { rowsChanged } from '../support/mysql.ts'
import { damageSql } from '../support/sql-damage.ts'
import { keptInSql, SQL_COUNTERS } from '../support/sql-kept.ts'
import { unix } from '../support/views.ts'

storeContract(MYSQL.name, {
  async create() {
    const { url, drop } = await testMysql()
    return { url, remove: drop }
  },
  damage: (url, damage) =>
    damageSql(
      {
        change: statement => rowsChanged(url, statement),
        query: statement => mysqlDatabase(url).query(statement),
      },
      damage,
    ),
  kept: url => keptInSql(statement => mysqlDatabase(url).query(statement)),
  counters: SQL_COUNTERS,
  // TIMESTAMP ends in 2038, since MariaDB 11.5 in 2106.
  unkeepable: { receivedAt: unix('2107-01-01T00:00:00Z') },
})
