import { join } from 'node:path'
import { ensurePackage } from './registry-package.ts'

/** Its own package, because it is half a gigabyte: only those who need ClickHouse download it. */
export const CLICKHOUSE_PACKAGE = join(import.meta.dirname, '..', 'clickhouse')

/**
 * Makes sure that ClickHouse is installed, in the version of the lock file.
 * @throws {Error} with npm's output
 */
export function ensureClickhouse(say: (line: string) => void): Promise<void> {
  return ensurePackage({ folder: CLICKHOUSE_PACKAGE, name: 'ClickHouse', size: '550 MB' }, say)
}
