/** From `DATABASE_URL` to a store. */

import type { AskedSettings, Store } from './store.ts'
import { NEWEST_RULES } from './zone-rules.ts'

/**
 * Opens the store; touches nothing in it. Other zone rules are for tests alone.
 *
 * @param rankingBytes what lists of posts may keep in memory, on the SQL engines
 * @throws {StoreUnavailable}
 */
export async function openStore(
  databaseUrl: string,
  settings: AskedSettings,
  rules = NEWEST_RULES,
  rankingBytes?: number,
): Promise<Store> {
  // The others' clients would take memory for nothing.
  if (databaseUrl.startsWith('sqlite:')) {
    const { openSqliteStore } = await import('./sqlite/store.ts')
    return openSqliteStore(databaseUrl, settings, rules, rankingBytes)
  }
  if (databaseUrl.startsWith('mysql:')) {
    const { openMysqlStore } = await import('./mysql/store.ts')
    return openMysqlStore(databaseUrl, settings, rules, rankingBytes)
  }
  const { openClickhouseStore } = await import('./clickhouse/store.ts')
  return openClickhouseStore(databaseUrl, settings, rules)
}
