/** From `DATABASE_URL` to a store. */

import type { CountingSettings, Store } from './store.ts'

/** Opens the store; touches nothing in it. @throws {StoreUnavailable} */
export async function openStore(databaseUrl: string, settings: CountingSettings): Promise<Store> {
  // The others' clients would take memory for nothing.
  if (databaseUrl.startsWith('sqlite:')) {
    const { openSqliteStore } = await import('./sqlite/store.ts')
    return openSqliteStore(databaseUrl, settings)
  }
  if (databaseUrl.startsWith('mysql:')) {
    const { openMysqlStore } = await import('./mysql/store.ts')
    return openMysqlStore(databaseUrl, settings)
  }
  const { openClickhouseStore } = await import('./clickhouse/store.ts')
  return openClickhouseStore(databaseUrl, settings)
}
