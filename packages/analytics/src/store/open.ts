/** From `DATABASE_URL` to a store. */

import { openMysqlStore } from './mysql/store.ts'
import { openSqliteStore } from './sqlite/store.ts'
import type { CountingSettings, Store } from './store.ts'

/** Opens the store; touches nothing in it. @throws {StoreUnavailable} */
export function openStore(databaseUrl: string, settings: CountingSettings): Promise<Store> {
  return databaseUrl.startsWith('sqlite:')
    ? openSqliteStore(databaseUrl, settings)
    : openMysqlStore(databaseUrl, settings)
}
