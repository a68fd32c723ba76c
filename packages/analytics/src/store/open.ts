/** From `DATABASE_URL` to a store. */

import type { IpStorage } from './row.ts'
import type { AskedSettings, Store } from './store.ts'
import type { ZoneRules } from './zone-rules.ts'

export interface StoreOptions {
  /** Whether the addresses of views that are recorded are kept; by default they are. */
  ipStorage?: IpStorage
  /** Others than the newest are for tests alone. */
  rules?: ZoneRules
  /** What lists of posts may keep in memory, on the SQL engines. */
  rankingBytes?: number
}

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
  // The others' clients would take memory for nothing.
  if (databaseUrl.startsWith('sqlite:')) {
    const { openSqliteStore } = await import('./sqlite/store.ts')
    return openSqliteStore(databaseUrl, settings, options)
  }
  if (databaseUrl.startsWith('mysql:')) {
    const { openMysqlStore } = await import('./mysql/store.ts')
    return openMysqlStore(databaseUrl, settings, options)
  }
  const { openClickhouseStore } = await import('./clickhouse/store.ts')
  return openClickhouseStore(databaseUrl, settings, options)
}
