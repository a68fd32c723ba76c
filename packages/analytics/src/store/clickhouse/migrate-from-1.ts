/**
 * Migrates the tables of version 1, which added up what each batch brought, to rows and figures counted from them. In version
 * 1 the first committed delivery of an id was the view, and counted once its batch had figures. Pruned rows are only in the
 * figures: what these have beyond the rows that are left becomes a base.
 *
 * It reads the old tables and writes the new ones, and every step may run twice. The old tables are dropped once all of it is
 * done and no number has changed.
 */

import { changesFrom } from '../agreement.ts'
import type { CountingSettings } from '../counting-settings.ts'
import { type Day, daysBetween } from '../days.ts'
import { StoreRefused } from '../failures.ts'
import { DETAILS, type DetailName, isOfBots } from '../figures.ts'
import { recordedOwnHosts } from '../own-hosts.ts'
import type { Progress } from '../store.ts'
import { agree, raise } from './agreed.ts'
import { carryFigures, fromAll, IS_UUID, isOfShard, POST_KEY } from './carry-figures.ts'
import type { Cluster, Row, Shard } from './connection.ts'
import { PERSON_KIND } from './count.ts'
import { countsOf, versionOf } from './row.ts'
import { quoted } from './sql.ts'
import { type Engine, recordState } from './state.ts'

const TABLES = ['deliveries', 'visitors', 'figures', 'rolled_up', 'settings', 'day_keys', 'leases', 'reach']
/** Views that were made for people; their names are used again. */
const VIEWS = [
  ...['post_views', 'post_view_aggregates', 'post_view_totals', 'post_view_referrers'],
  ...['site_view_aggregates', 'site_view_referrers', 'site_view_minutes'],
]

/** The valid figures of version 1; see there. */
const SUMS = 'post_view_sums'
/** What version 1 counted. */
const DETAILS_OF_1: readonly DetailName[] = ['unique_views', 'logged_in', 'bots']
/** What it did not count is known only of bots, where there were none. */
const OTHER_DETAILS = DETAILS.filter(name => !DETAILS_OF_1.includes(name)).map(
  name => `${isOfBots(name) ? 'if(bots = 0, 0, NULL)' : 'NULL'} AS ${name}`,
)
/** The same, as `carryFigures` reads them. Hosts were its only values, without their bots. */
const FIGURES = `(SELECT * REPLACE (transform(kind, ['referrer', 'site_referrer'], ['value', 'site_value'], kind) AS kind),
  'referrer' AS dimension, host AS value, kind = 'post' AS is_detailed, ${OTHER_DETAILS.join(', ')} FROM ${SUMS})`

export async function dropViewsOf1(shards: readonly Shard[]): Promise<void> {
  await drop(shards, 'VIEW', VIEWS)
}

export async function dropTablesOf1(shards: readonly Shard[]): Promise<void> {
  await drop(shards, 'VIEW', [SUMS, 'post_view_referrers', 'site_view_referrers', 'site_view_minutes'])
  await drop(
    shards,
    'TABLE',
    TABLES.map(name => `post_view_${name}`),
  )
}

async function drop(
  shards: readonly Shard[],
  kind: 'VIEW' | 'TABLE',
  names: readonly string[],
): Promise<void> {
  for (const shard of shards) {
    const rows = await shard.all(
      `SELECT name FROM system.tables
       WHERE database = currentDatabase() AND name IN (${quoted(names)}) AND (engine = 'View') = ${kind === 'VIEW'}`,
    )
    for (const { name } of rows)
      await shard.run(`DROP ${kind} IF EXISTS ${name} SYNC SETTINGS max_table_size_to_drop = 0`)
  }
}

/**
 * Fills the new tables. Consumers of either version must not run.
 *
 * @throws {StoreRefused} on another number of shards; when a number would change: nothing was removed
 */
export async function carryOver(engine: Engine, progress: Progress): Promise<void> {
  const { cluster } = engine
  const old = await readOld(cluster)
  await carryAgreed(engine, old)
  await carryRows(cluster, old, progress)
  const carried = {
    table: FIGURES,
    ...old,
    readersOf: (where: string) => readersOf(cluster, old, where),
  }
  const differing = await carryFigures(engine, carried, progress)
  if (differing === 0) return
  throw new StoreRefused(
    `the numbers of ${differing} days of posts do not match the kept views: correct them with the previous release (\`postviews rebuild\`), then migrate again; its tables are unchanged`,
  )
}

/** What version 1 has recorded. */
interface Old {
  /** The first day whose rows are complete; 1970-01-01 if none was pruned. */
  rawFrom: Day
  /** All that is here was received since, and counts as rows; Unix seconds. */
  cutoff: number
  /** The agreements, the earliest first. */
  agreements: Row[]
  epoch: number
  keys: ReadonlyMap<Day, string>
}

async function readOld(cluster: Cluster): Promise<Old> {
  const [first, ...others] = await cluster.shards()
  const agreements = await first!.all(
    `SELECT * FROM post_view_settings ORDER BY epoch, agreement, _block_number, _block_offset LIMIT 1 BY epoch, agreement`,
  )
  const latest = agreements.at(-1)
  if (latest === undefined)
    throw new StoreRefused('the database has no settings: migrate it with the previous release first')
  if (Number(latest['shards']) !== others.length + 1)
    throw new StoreRefused(
      `the database has ${latest['shards']} shards, but this process knows ${others.length + 1}`,
    )
  const [reach] = await first!.all(
    `SELECT maxOrNull(day) AS raw_from, toUnixTimestamp(now()) AS now FROM post_view_reach WHERE name = 'raw_from'`,
  )
  const [kept] = await cluster.all(
    `SELECT minOrNull(received) AS since
     FROM ${fromAll(cluster, 'SELECT toUnixTimestamp(received_at) AS received FROM post_view_deliveries')} AS d`,
  )
  const keys = await first!.all(
    'SELECT day, secret FROM post_view_day_keys ORDER BY day, _block_number, _block_offset LIMIT 1 BY day',
  )
  const isPruned = reach!['raw_from'] !== null
  return {
    rawFrom: isPruned ? String(reach!['raw_from']) : '1970-01-01',
    cutoff: isPruned ? Number(kept!['since'] ?? reach!['now']) : 0,
    agreements,
    epoch: Number(latest['epoch']),
    keys: new Map(keys.map(({ day, secret }) => [String(day), String(secret)])),
  }
}

async function carryAgreed({ cluster }: Engine, { agreements, keys }: Old): Promise<void> {
  for (const [index, row] of agreements.entries()) {
    await recordState(cluster, {
      agreement: index + 1,
      epoch: Number(row['epoch']),
      settings: {
        timeZone: String(row['time_zone']),
        windowHours: Number(row['window_hours']),
        uniqueBy: row['unique_by'] as CountingSettings['uniqueBy'],
        bots: row['bots'] as CountingSettings['bots'],
      },
      settingsSince: row['settings_since'] as Day | null,
      botsBefore: [],
      ownHosts: recordedOwnHosts(String(row['site_hosts'])),
      rules: {
        source: String(row['rules_source']),
        release: String(row['rules_release']),
        until: Number(row['rules_until']),
        changes: changesFrom(String(row['rules_changes'])),
      },
    })
  }
  const clocks = new Set(agreements.map(row => `${row['time_zone']} ${row['rules_changes']}`))
  const since = agreements.at(-1)!['settings_since'] as Day | null
  if (clocks.size > 1 && since !== null) await raise(cluster, 'zones until', daysBetween('1970-01-01', since))
  for (const [day, secret] of keys) await agree(cluster, `key ${day}`, { number: KEY, value: secret })
  const [open] = await cluster.all(
    `SELECT maxOrNull(day) AS day FROM post_view_reach WHERE name = 'open_from'`,
  )
  if (open!['day'] === null) return
  const days = await cluster.all(
    `SELECT DISTINCT day FROM ${fromAll(cluster, `SELECT DISTINCT day FROM post_view_deliveries WHERE day < '${open!['day']}'`)} AS d`,
  )
  // Such a day is closed: its rows are hashed under a key that is gone.
  for (const day of days.map(row => String(row['day'])).filter(day => !keys.has(day)))
    await agree(cluster, `key ${day}`, { number: KEY, value: '' })
}

/** The number of a day's key made by version 1, which had only one for each day. */
const KEY = 1

/** As SQL: the counted batches among those that a table has rows of. A list of all batches ever may be too long. */
async function countedBatches(cluster: Cluster, table: string, where: string): Promise<string> {
  const [range] = await cluster.all(
    `SELECT UUIDNumToString(min(n)) AS low, UUIDNumToString(max(n)) AS high
     FROM ${fromAll(cluster, `SELECT UUIDToNum(batch) AS n FROM ${table} WHERE ${where}`)} AS b`,
  )
  const between = `UUIDToNum(batch) BETWEEN UUIDStringToNum('${range!['low']}') AND UUIDStringToNum('${range!['high']}')`
  return `(SELECT batch FROM ${fromAll(cluster, `SELECT batch FROM ${SUMS} WHERE kind = 'batch' AND ${between}`)} AS done)`
}

/** As SQL: nothing of the reader is left, and there was something. */
const IS_FORGOTTEN = `user_id IS NULL AND ip IS NULL AND user_agent IS NULL AND referer IS NULL
  AND (toUInt128(visitor) != 0 OR logged_in = 1 OR referer_host != '')`

/** Whether the publisher sent a view's time is no longer known. Most did, so a row's hour is that of its view. */
async function carryRows(cluster: Cluster, { agreements }: Old, progress: Progress): Promise<void> {
  const shards = await cluster.shards()
  const days = await cluster.all(
    `SELECT DISTINCT day FROM ${fromAll(cluster, 'SELECT DISTINCT toDate(received_at) AS day FROM post_view_deliveries')} AS d ORDER BY day`,
  )
  const excluding = agreements.filter(({ bots }) => bots === 'exclude').map(({ epoch }) => epoch)
  const counts = `if(has([${excluding.join(', ')}], epoch), ${countsOf('exclude')}, ${countsOf('count')})`
  for (const [done, { day }] of days.entries()) {
    progress('rows', done, days.length)
    const received = `toDate(received_at) = '${day}'`
    const batches = await countedBatches(cluster, 'post_view_deliveries', received)
    for (const [index, shard] of shards.entries()) {
      const views = `SELECT * FROM (
          SELECT * FROM post_view_deliveries
          WHERE UUIDToNum(id) IN (SELECT UUIDToNum(id) FROM post_view_deliveries WHERE ${received})
          ORDER BY UUIDToNum(id), _block_number, _block_offset LIMIT 1 BY id
        ) WHERE ${received} AND ${isOfShard(index, shards)}`
      await shard.run(
        `INSERT INTO post_view_rows
           (hour, post, id, version, has_id, post_name, user_id, ip, user_agent, referer, viewed_at, received_at, committed_at, day, slice,
            logged_in, bot, counts, visitor, referer_host)
         SELECT intDiv(toUnixTimestamp(viewed_at), 3600), ${POST_KEY}, id, ${versionOf('epoch', String(KEY), 'toUnixTimestamp(received_at)', IS_FORGOTTEN)}, has_id,
                if(${IS_UUID}, '', post_uuid), user_id, ip, user_agent, referer, viewed_at, received_at, UUIDv7ToDateTime(batch, 'UTC'), day, slice,
                logged_in, bot, ${counts}, reinterpretAsUInt64(unhex(substring(hex(visitor), 1, 16))), referer_host
         FROM ${fromAll(cluster, views)} AS d WHERE batch IN ${batches}`,
      )
    }
  }
}

/** As SQL: the known readers of days that are still open. */
async function readersOf(cluster: Cluster, { epoch, keys }: Old, where: string): Promise<string> {
  const open = `${where} AND epoch = ${epoch} AND day IN (${quoted(['1970-01-01', ...keys.keys()])})`
  return `SELECT post_uuid, day, bitXor(reinterpretAsUInt64(unhex(substring(hex(visitor), 1, 16))), intHash64(slice)) AS reader, toUInt8(${PERSON_KIND}) AS reader_kind
    FROM ${fromAll(cluster, `SELECT * FROM post_view_visitors WHERE ${open}`)} AS v
    WHERE batch IN ${await countedBatches(cluster, 'post_view_visitors', open)}`
}
