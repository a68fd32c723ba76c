/** From `DATABASE_URL` to a store. */

import type { AskedSettings, Store } from './store.ts'
import { NEWEST_RULES } from './zone-rules.ts'

/** Opens the store; touches nothing in it. Other zone rules are for tests alone. @throws {StoreUnavailable} */
export async function openStore(
  databaseUrl: string,
  settings: AskedSettings,
  rules = NEWEST_RULES,
): Promise<Store> {
  // The others' clients would take memory for nothing.
  if (databaseUrl.startsWith('sqlite:')) {
    const { openSqliteStore } = await import('./sqlite/store.ts')
    return openSqliteStore(databaseUrl, settings, rules)
  }
  if (databaseUrl.startsWith('mysql:')) {
    const { openMysqlStore } = await import('./mysql/store.ts')
    return openMysqlStore(databaseUrl, settings, rules)
  }
  const { openClickhouseStore } = await import('./clickhouse/store.ts')
  return openClickhouseStore(databaseUrl, settings, rules)
}
