/** Numbered SQL files, applied in order on every shard, statement by statement. Each may run twice. A new database begins with the second. */

import { readdir, readFile } from 'node:fs/promises'
import { StoreRefused } from '../failures.ts'
import { refuseNewer, refuseOlder } from '../sql/migrate.ts'
import type { Progress } from '../store.ts'
import { latestEntry, tellAll } from './agreed.ts'
import { type Cluster, overAll, type Shard } from './connection.ts'
import { isServers, UNKNOWN_TABLE } from './errors.ts'
import { exclusively } from './lease.ts'
import { carryOver, dropTablesOf1, dropViewsOf1 } from './migrate-from-1.ts'
import { type Engine, firstState, recordState } from './state.ts'

const MIGRATIONS = new URL('./migrations/', import.meta.url)

const CREATE_MIGRATIONS = `
  CREATE TABLE IF NOT EXISTS post_view_migrations (
    version    UInt32,
    applied_at DateTime('UTC') DEFAULT now()
  )
  ENGINE = MergeTree
  ORDER BY version
  SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`

/** A merge rewrites rows that an insert had synced to the disk, so it syncs them as well. */
const SYNCED = `fsync_after_insert = 1, fsync_part_directory = 1,
  min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
  non_replicated_deduplication_window = 0, replicated_deduplication_window = 0`

/** In Keeper, for all shards. */
const CREATE_CLAIMS = (database: string) => `
  CREATE TABLE IF NOT EXISTS post_view_claims (key String, value String)
  ENGINE = KeeperMap('/postviews/${database}/claims')
  PRIMARY KEY key`

interface Migration {
  version: number
  statements: string[]
}

export async function migrate(engine: Engine, progress: Progress = () => {}): Promise<void> {
  const { cluster } = engine
  const migrations = await readMigrations(cluster)
  const shards = await cluster.shards()
  const servers = shards.flatMap(shard => shard.replicas())
  const versions = await Promise.all(servers.map(versionOf))
  for (const version of versions) refuseNewer(version, migrations.at(-1)!.version)
  for (const server of servers) await assertReplicated(server)
  // A server that joined later has no tables, so the lowest version counts. But if any server has tables of version 1, their data
  // must be carried over.
  const version = versions.includes(1) ? 1 : Math.min(...versions)
  for (const server of servers) await server.run(CREATE_MIGRATIONS)
  for (const shard of shards) if (shard.isReplicated) await shard.onEach(CREATE_CLAIMS(shard.database))
  if (version === 1) await dropViewsOf1(shards)
  const record = (next: number) =>
    Promise.all(
      servers.map(server => server.insert('post_view_migrations', 'version', JSON.stringify([next]))),
    )
  for (const { version: next, statements } of migrations) {
    if (next <= version) continue
    // All shards run a statement before the next one: a view reads from the tables of all.
    for (const [index, statement] of statements.entries()) {
      progress('tables', index, statements.length)
      await Promise.all(shards.map(shard => shard.onEach(statement)))
    }
    // Data of version 1 are carried over to tables of the latest version.
    if (version !== 1) await record(next)
  }
  if (version === 1) {
    await exclusively(engine, async () => {
      // Unless somebody else was first.
      if ((await versionOf(await cluster.first())) === 1) await carryOver(engine, progress)
      for (const { version: next } of migrations) await record(next)
    })
  }
  await dropTablesOf1(shards)
  if ((await latestEntry(shards[0]!, 'settings')) === null) await recordState(cluster, firstState(engine))
  await tellAll(cluster)
}

/** @throws {StoreRefused} unless the database has exactly this program's version */
export async function checkVersion(cluster: Cluster): Promise<void> {
  const latest = (await readMigrations(cluster)).at(-1)!.version
  const version = await versionOf(await cluster.first())
  refuseNewer(version, latest)
  const { database, origins } = cluster.address
  const hosts = origins.map(origin => new URL(origin).host).join(', ')
  refuseOlder(version, latest, `the database ${database} on ${hosts}`)
  for (const shard of await cluster.shards()) await assertReplicated(shard)
}

/** @throws {StoreRefused} if there are tables, and they are not replicated as the cluster says */
async function assertReplicated(server: Shard): Promise<void> {
  const [rows] = await server.all(
    `SELECT startsWith(engine, 'Replicated') AS is_replicated FROM system.tables
     WHERE database = currentDatabase() AND name = 'post_view_rows'`,
  )
  if (rows === undefined || (Number(rows['is_replicated']) === 1) === server.isReplicated) return
  throw new StoreRefused(
    server.isReplicated
      ? `shard ${server.number} has replicas, but its tables are not replicated: use \`postviews copy\` to fill a new database, whose tables are`
      : `the tables on shard ${server.number} are replicated, but the cluster in the URL has only one host for it: name the cluster that has all of them`,
  )
}

async function versionOf(server: Shard): Promise<number> {
  try {
    const [row] = await server.all('SELECT max(version) AS version FROM post_view_migrations')
    return Number(row!['version'])
  } catch (error) {
    if (isServers(error) && error.code === UNKNOWN_TABLE) return 0
    throw error
  }
}

async function readMigrations(cluster: Cluster): Promise<Migration[]> {
  const names = (await readdir(MIGRATIONS)).filter(name => name.endsWith('.sql')).sort()
  return Promise.all(
    names.map(async name => {
      const sql = filledIn(await readFile(new URL(name, MIGRATIONS), 'utf8'), cluster.address)
      const statements = sql
        .replace(/^--.*$/gm, '')
        .split(/;\s*(?:\n|$)/)
        .filter(statement => statement.trim() !== '')
      return { version: Number.parseInt(name, 10), statements }
    }),
  )
}

function filledIn(migration: string, address: Parameters<typeof overAll>[1]): string {
  return migration
    .replaceAll('{{synced}}', SYNCED)
    .replace(/\{\{all: (.*?)\}\}/gs, (_, select: string) => overAll(select, address))
}

/** The tables of a new database on one server. */
export async function tablesText(): Promise<string> {
  const names = (await readdir(MIGRATIONS)).filter(name => name.endsWith('.sql')).sort()
  const texts = await Promise.all(names.map(name => readFile(new URL(name, MIGRATIONS), 'utf8')))
  return filledIn(texts.join('\n'), { cluster: null, database: 'default' })
}
