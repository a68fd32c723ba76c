import { testMariadb } from '../tools/stack/for-tests.ts'
import { storeContract } from './store-contract.ts'
import { mysqlDatabase } from './support/engines.ts'
import { unix } from './support/views.ts'

storeContract('MariaDB', {
  async create() {
    const { url, drop } = await testMariadb()
    return { url, remove: drop }
  },
  sql: (url, statement) => mysqlDatabase(url).query(statement),
  // Its TIMESTAMP ends in 2038.
  unkeepable: { viewedAt: unix('2040-01-01T00:00:00Z') },
})
