import { testMysql } from '../tools/stack/for-tests.ts'
import { storeContract } from './store-contract.ts'
import { MYSQL, mysqlDatabase } from './support/engines.ts'
import { unix } from './support/views.ts'

storeContract(MYSQL.name, {
  async create() {
    const { url, drop } = await testMysql()
    return { url, remove: drop }
  },
  sql: (url, statement) => mysqlDatabase(url).query(statement),
  // TIMESTAMP ends in 2038, since MariaDB 11.5 in 2106.
  unkeepable: { viewedAt: unix('2107-01-01T00:00:00Z') },
})
