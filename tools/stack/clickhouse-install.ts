import { join } from 'node:path'
import { ensurePackage } from './registry-package.ts'

/** A package of its own: half a gigabyte, which only who needs a ClickHouse downloads. */
export const CLICKHOUSE_PACKAGE = join(import.meta.dirname, '..', 'clickhouse')

/**
 * Makes sure that ClickHouse is there, in the version of the lock file.
 * @throws {Error} with what npm said
 */
export function ensureClickhouse(say: (line: string) => void): Promise<void> {
  return ensurePackage({ folder: CLICKHOUSE_PACKAGE, name: 'ClickHouse', size: '550 MB' }, say)
}
