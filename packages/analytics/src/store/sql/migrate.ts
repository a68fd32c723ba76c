/** Numbered SQL files, applied in order; the same for every SQL engine. */

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Postgrator from 'postgrator'
import { StoreBroken, StoreRefused } from '../failures.ts'
import type { SqlRow } from './sql.ts'

export const MIGRATIONS_TABLE = 'post_view_migrations'

export interface MigrationTarget {
  engine: 'sqlite' | 'mysql' | 'postgres'
  /** The database's name, if a server of the engine has several. */
  database?: string
  query(sql: string): Promise<{ rows: SqlRow[] }>
  script(sql: string): Promise<void>
}

/** Applies what is missing. The caller holds the lock. @throws {StoreRefused} when the database is newer than this program */
export async function applyMigrations(target: MigrationTarget): Promise<void> {
  const migrations = migrationsOf(target)
  const version = await migrations.getDatabaseVersion()
  const latest = await latestVersion(migrations)
  refuseNewer(version, latest)
  let step = 'creating post_view_migrations'
  migrations.on('migration-started', ({ version, name }) => {
    step = `migration ${version} (${name})`
  })
  try {
    await migrations.migrate()
  } catch (error) {
    throw error instanceof StoreBroken ? new StoreBroken(error.message, step, { cause: error.cause }) : error
  }
}

/**
 * @param name the database's name for messages, given if the database can exist without our tables
 * @throws {StoreRefused} unless the database has exactly this program's version
 */
export async function checkVersion(target: Omit<MigrationTarget, 'script'>, name?: string): Promise<void> {
  const migrations = migrationsOf({ ...target, script: () => Promise.reject(new Error('only reads')) })
  const version = await migrations.getDatabaseVersion()
  const latest = await latestVersion(migrations)
  refuseNewer(version, latest)
  refuseOlder(version, latest, name)
}

/** @throws {StoreRefused} */
export function refuseNewer(version: number, latest: number): void {
  if (version <= latest) return
  throw new StoreRefused(
    `the database has version ${version}, newer than this program (${latest}): use a newer version of postviews`,
  )
}

/** @throws {StoreRefused} */
export function refuseOlder(version: number, latest: number, name?: string): void {
  if (version >= latest) return
  if (version === 0 && name !== undefined) {
    throw new StoreRefused(`${name} has no tables of postviews: run \`postviews migrate\``)
  }
  throw new StoreRefused(
    `the database has version ${version}, but this program needs ${latest}: run \`postviews migrate\``,
  )
}

async function latestVersion(migrations: Postgrator): Promise<number> {
  await migrations.getMigrations()
  return Number(await migrations.getMaxVersion())
}

function migrationsOf({ engine, database, query, script }: MigrationTarget): Postgrator {
  const options = {
    migrationPattern: join(fileURLToPath(new URL(`../${engine}/migrations`, import.meta.url)), '*'),
    newline: 'LF',
    schemaTable: MIGRATIONS_TABLE,
    execQuery: query,
    execSqlScript: script,
  }
  if (engine === 'mysql') return new Postgrator({ ...options, driver: 'mysql', database: database ?? '' })
  return new Postgrator({ ...options, driver: engine === 'sqlite' ? 'sqlite3' : 'pg' })
}
