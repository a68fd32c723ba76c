/** From `DATABASE_URL` to a store. */

import { openClickhouseStore } from './clickhouse/store.ts'
import { openMysqlStore } from './mysql/store.ts'
import { openSqliteStore } from './sqlite/store.ts'
import type { CountingSettings, Store } from './store.ts'

/** Opens the store; touches nothing in it. @throws {StoreUnavailable} */
export function openStore(databaseUrl: string, settings: CountingSettings): Promise<Store> {
  if (databaseUrl.startsWith('sqlite:')) return openSqliteStore(databaseUrl, settings)
  return databaseUrl.startsWith('mysql:')
    ? openMysqlStore(databaseUrl, settings)
    : openClickhouseStore(databaseUrl, settings)
}
