/** From `DATABASE_URL` to a store. */

import type { AskedSettings, StoreOptions } from './counting-settings.ts'
import type { Store } from './store.ts'

/**
 * Opens the store; touches nothing in it.
 *
 * @throws {StoreUnavailable}
 */
export async function openStore(
  databaseUrl: string,
  settings: AskedSettings,
  options: StoreOptions = {},
): Promise<Store> {
  // Imported only if needed: the clients of the other engines would use memory for nothing.
  if (databaseUrl.startsWith('sqlite:')) {
    const { openSqliteStore } = await import('./sqlite/store.ts')
    return openSqliteStore(databaseUrl, settings, options)
  }
  if (databaseUrl.startsWith('mysql:')) {
    const { openMysqlStore } = await import('./mysql/store.ts')
    return openMysqlStore(databaseUrl, settings, options)
  }
  if (/^postgres(?:ql)?:/.test(databaseUrl)) {
    const { openPostgresStore } = await import('./postgres/store.ts')
    return openPostgresStore(databaseUrl, settings, options)
  }
  const { openClickhouseStore } = await import('./clickhouse/store.ts')
  return openClickhouseStore(databaseUrl, settings, options)
}
