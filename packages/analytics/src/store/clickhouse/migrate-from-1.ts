/**
 * From the tables of version 1, which added up what each batch brought, to rows and what is counted from them. There, the
 * first delivery of an id that was committed was the view, and counted once its batch had figures. Rows that were pruned are
 * in the figures alone: what those say beyond the rows that are left becomes a base.
 *
 * It reads the old tables and writes the new ones, and every step may run twice. The old tables go when all of it is done and
 * every number is what it was.
 */

import { changesFrom } from '../agreement.ts'
import { KEPT_OF_POST, KEPT_OF_SITE } from '../bounds.ts'
import type { Day } from '../calendar.ts'
import { recordedOwnHosts } from '../own-hosts.ts'
import { type CountingSettings, type Progress, StoreRefused } from '../store.ts'
import { agree, raise } from './agreed.ts'
import { type Cluster, overAll, type Row, type Shard } from './connection.ts'
import { keptHosts, READER, SITE } from './count.ts'
import { rollAll } from './recount.ts'
import { countDay, countTotals, rollingOf } from './roll.ts'
import { COLUMNS, countsOf, versionOf } from './row.ts'
import { quoted } from './sql.ts'
import { type Engine, recordState } from './state.ts'

const TABLES = ['deliveries', 'visitors', 'figures', 'rolled_up', 'settings', 'day_keys', 'leases', 'reach']
/** Those that were made for people, and whose names are taken again. */
const VIEWS = [
  ...['post_views', 'post_view_aggregates', 'post_view_totals', 'post_view_referrers'],
  ...['site_view_aggregates', 'site_view_referrers', 'site_view_minutes'],
]

/** Its figures that count; see version 1. */
const SUMS = 'post_view_sums'

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
 * @throws {StoreRefused} on another number of shards; when a number would not be what it was: nothing was removed
 */
export async function carryOver(engine: Engine, progress: Progress): Promise<void> {
  const { cluster } = engine
  const shards = await cluster.shards()
  const old = await readOld(cluster)
  await carryAgreed(engine, old)
  await carryRows(cluster, old, progress)
  await raise(cluster, 'cutoff', old.cutoff)
  const months = await monthsOf(cluster)
  for (const [index, shard] of shards.entries()) {
    await shard.run('TRUNCATE TABLE post_view_bases')
    await shard.run(
      `INSERT INTO post_view_names SELECT DISTINCT ${POST_KEY}, post_uuid
       FROM ${figures(cluster, `kind = 'post' AND ${isOfShard(index, shards)}`)} AS f WHERE NOT ${IS_UUID}`,
    )
    for (const [done, month] of months.entries()) {
      progress('figures', done, months.length)
      await shard.run(await basesOf(cluster, old, index, shards, month))
    }
  }
  for (const month of months) await shards[0]!.run(basesOfSite(cluster, old, month))
  await rollAll(engine)
  for (const shard of shards) {
    const days = await shard.all('SELECT DISTINCT day FROM post_view_bases ORDER BY day')
    for (const [done, { day }] of days.entries()) {
      progress('days', done, days.length)
      await countDay(shard, await rollingOf(engine, shard), String(day), 'true')
    }
    await countTotals(shard, await rollingOf(engine, shard), 'true')
  }
  let differing = 0
  for (const [index, shard] of shards.entries()) {
    for (const month of months) {
      const [row] = await shard.all(differencesOf(cluster, index, shards, month))
      differing += Number(row!['differing'])
    }
  }
  if (differing > 0) {
    throw new StoreRefused(
      `the numbers of ${differing} days of posts do not follow from the views that are kept: let the release before put them right (\`postviews rebuild\`), then migrate again; its tables are as they were`,
    )
  }
}

/** What version 1 has recorded of itself. */
interface Old {
  /** The first day whose rows are complete; as late as can be where none was pruned. */
  rawFrom: Day
  /** What is here was received since, and counts as rows; Unix seconds. */
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
    throw new StoreRefused('the database has no settings: let the release before migrate it first')
  if (Number(latest['shards']) !== others.length + 1)
    throw new StoreRefused(
      `the database is on ${latest['shards']} shards, this process knows ${others.length + 1}`,
    )
  const [reach] = await first!.all(
    `SELECT maxOrNull(day) AS raw_from, toUnixTimestamp(now()) AS now FROM post_view_reach WHERE name = 'raw_from'`,
  )
  const [kept] = await cluster.all(
    `SELECT minOrNull(received) AS since
     FROM ${from(cluster, 'SELECT toUnixTimestamp(received_at) AS received FROM post_view_deliveries')} AS d`,
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
  if (clocks.size > 1) await raise(cluster, 'zones', 1)
  for (const [day, secret] of keys) await agree(cluster, `key ${day}`, { number: KEY, value: secret })
  const [open] = await cluster.all(
    `SELECT maxOrNull(day) AS day FROM post_view_reach WHERE name = 'open_from'`,
  )
  if (open!['day'] === null) return
  const days = await cluster.all(
    `SELECT DISTINCT day FROM ${from(cluster, `SELECT DISTINCT day FROM post_view_deliveries WHERE day < '${open!['day']}'`)} AS d`,
  )
  // Closed: a row of it is hashed under a key that is gone.
  for (const day of days.map(row => String(row['day'])).filter(day => !keys.has(day)))
    await agree(cluster, `key ${day}`, { number: KEY, value: '' })
}

/** The number of a day's key that version 1 has made: it knew no others. */
const KEY = 1

const IS_UUID = `match(post_uuid, '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$')`
/** As SQL: `postKey`. */
const POST_KEY = `if(${IS_UUID}, toUUIDOrZero(post_uuid),
  toUUID(replaceRegexpOne(lower(hex(substring(SHA256(post_uuid), 1, 16))), '^(.{8})(.{4})(.{4})(.{4})', '\\\\1-\\\\2-\\\\3-\\\\4-')))`

/** As SQL: `shardOf` of a post. */
function isOfShard(index: number, shards: readonly Shard[]): string {
  return shards.length === 1 ? 'true' : `CRC32(post_uuid) % ${shards.length} = ${index}`
}

/** As `Cluster.from`, of old tables. */
function from(cluster: Cluster, select: string): string {
  const { database } = cluster.address
  return overAll(
    select.replace(/\bpost_view_(?:deliveries|visitors|sums)\b/g, table => `${database}.${table}`),
    cluster.address,
  )
}

function figures(cluster: Cluster, where: string): string {
  return from(cluster, `SELECT * FROM ${SUMS} WHERE ${where}`)
}

/** As SQL: the batches that count, of those that a table has rows of. Of all there ever were there may be too many. */
async function countedBatches(cluster: Cluster, table: string, where: string): Promise<string> {
  const [range] = await cluster.all(
    `SELECT UUIDNumToString(min(n)) AS low, UUIDNumToString(max(n)) AS high
     FROM ${from(cluster, `SELECT UUIDToNum(batch) AS n FROM ${table} WHERE ${where}`)} AS b`,
  )
  const between = `UUIDToNum(batch) BETWEEN UUIDStringToNum('${range!['low']}') AND UUIDStringToNum('${range!['high']}')`
  return `(SELECT batch FROM ${from(cluster, `SELECT batch FROM ${SUMS} WHERE kind = 'batch' AND ${between}`)} AS done)`
}

/** As SQL: nothing of its reader is left, and something was there. */
const IS_FORGOTTEN = `user_id IS NULL AND ip IS NULL AND user_agent IS NULL AND referer IS NULL
  AND (toUInt128(visitor) != 0 OR logged_in = 1 OR referer_host != '')`

/** Whose time its publisher has sent nobody can tell any more: most have, and a row's hour is that of its view. */
async function carryRows(cluster: Cluster, { agreements }: Old, progress: Progress): Promise<void> {
  const shards = await cluster.shards()
  const days = await cluster.all(
    `SELECT DISTINCT day FROM ${from(cluster, 'SELECT DISTINCT toDate(received_at) AS day FROM post_view_deliveries')} AS d ORDER BY day`,
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
        `INSERT INTO post_view_rows (${COLUMNS})
         SELECT intDiv(toUnixTimestamp(viewed_at), 3600), ${POST_KEY}, id, ${versionOf('epoch', String(KEY), 'toUnixTimestamp(received_at)', IS_FORGOTTEN)}, has_id,
                if(${IS_UUID}, '', post_uuid), user_id, ip, user_agent, referer, viewed_at, received_at, UUIDv7ToDateTime(batch, 'UTC'), day, slice,
                logged_in, bot, ${counts}, reinterpretAsUInt64(unhex(substring(hex(visitor), 1, 16))), referer_host
         FROM ${from(cluster, views)} AS d WHERE batch IN ${batches}`,
      )
    }
  }
}

/** As SQL, the months that have figures, each as a condition. */
async function monthsOf(cluster: Cluster): Promise<string[]> {
  const rows = await cluster.all(
    `SELECT DISTINCT month FROM ${from(cluster, `SELECT DISTINCT toYYYYMM(day) AS month FROM ${SUMS} WHERE kind IN ('post', 'site_referrer')`)} AS m
     ORDER BY month`,
  )
  return rows.map(({ month }) => `toYYYYMM(day) = ${month}`)
}

const NOTHING =
  'toInt64(0) AS n, toInt64(0) AS uniques, toInt64(0) AS logged, toInt64(0) AS bots_of, NULL AS first_at, NULL AS last_at'
const NO_HOST = "'' AS host, toInt64(0) AS host_n"
const NO_READER = 'toUInt64(0) AS reader, false AS reads, false AS is_listed'

/** As SQL: what the figures of a month say beyond the rows. Of a day that is open its readers stay known. */
async function basesOf(
  cluster: Cluster,
  { rawFrom, cutoff, epoch, keys }: Old,
  index: number,
  shards: readonly Shard[],
  month: string,
): Promise<string> {
  const which = `${month} AND day < '${rawFrom}'`
  const here = `${which} AND ${isOfShard(index, shards)}`
  const open = `${here} AND epoch = ${epoch} AND day IN (${quoted(['1970-01-01', ...keys.keys()])})`
  const listed = `SELECT * FROM ${from(cluster, `SELECT * FROM post_view_visitors WHERE ${open}`)} AS v
    WHERE batch IN ${await countedBatches(cluster, 'post_view_visitors', open)}`
  const parts = [
    `SELECT ${POST_KEY} AS post, day, views AS n, unique_views AS uniques, logged_in AS logged, bots AS bots_of,
            first_viewed_at AS first_at, last_viewed_at AS last_at, ${NO_HOST}, ${NO_READER}
     FROM ${figures(cluster, `kind = 'post' AND ${here}`)} AS f`,
    `SELECT ${POST_KEY}, day, ${NOTHING}, host, views, ${NO_READER} FROM ${figures(cluster, `kind = 'referrer' AND ${here}`)} AS f`,
    `SELECT post, day, -toInt64(counts), toInt64(0), -toInt64(counts AND logged_in), -toInt64(bot), NULL, NULL,
            referer_host, -toInt64(counts), ${READER}, counts = 1, false
     FROM (${rowsOnce(which)})`,
    `SELECT ${POST_KEY}, day, ${NOTHING}, ${NO_HOST}, bitXor(reinterpretAsUInt64(unhex(substring(hex(visitor), 1, 16))), intHash64(slice)), true, true
     FROM (${listed})`,
  ]
  const atLeastNothing = (sum: string) => `toUInt64(greatest(${sum}, 0))`
  return `INSERT INTO post_view_bases
    SELECT day, post, ${cutoff}, views, unique_views, logged_in, bots, first_viewed_at, last_viewed_at, readers, hosts, host_views
    FROM (
      SELECT day, post, ${atLeastNothing('sum(n)')} AS views,
             ${atLeastNothing('sum(uniques) - toInt64(uniqExactIf(reader, reads))')} AS unique_views,
             ${atLeastNothing('sum(logged)')} AS logged_in, ${atLeastNothing('sum(bots_of)')} AS bots,
             min(first_at) AS first_viewed_at, max(last_at) AS last_viewed_at, groupUniqArrayIf(reader, is_listed) AS readers,
             ${keptFrom('host', 'host_n', KEPT_OF_POST)}
      FROM (${parts.join(' UNION ALL ')})
      GROUP BY day, post
      HAVING views + bots > 0 OR unique_views > 0 OR notEmpty(hosts)
    )`
}

/** The same of the hosts of the site: those of all shards, kept on the first. */
function basesOfSite(cluster: Cluster, { rawFrom, cutoff }: Old, month: string): string {
  const which = `${month} AND day < '${rawFrom}'`
  const rows = cluster.from(`SELECT day, referer_host AS host, counts FROM (${rowsOnce(which)})`)
  return `INSERT INTO post_view_bases
    SELECT day, '${SITE}', ${cutoff}, 0, 0, 0, 0, NULL, NULL, [], hosts, host_views
    FROM (
      SELECT day, ${keptFrom('host', 'n', KEPT_OF_SITE)}
      FROM (
        SELECT day, host, views AS n FROM ${figures(cluster, `kind = 'site_referrer' AND ${which}`)} AS f
        UNION ALL SELECT day, host, -toInt64(counts) FROM ${rows} AS r
      )
      GROUP BY day
      HAVING notEmpty(hosts)
    )`
}

/** Inserted twice, a row is there twice until it is merged; here FINAL would have to look through a month of partitions. */
function rowsOnce(where: string): string {
  return `SELECT DISTINCT id, post, day, slice, counts, bot, logged_in, visitor, referer_host FROM post_view_rows WHERE ${where}`
}

function keptFrom(host: string, views: string, limit: number): string {
  return `sumMapIf([${host}], [${views}], ${views} != 0) AS map,
    ${keptHosts('arrayMap(x -> (x.1, toUInt64(x.2)), arrayFilter(x -> x.2 > 0, arrayZip(map.1, map.2)))', limit)}`
}

/** As SQL: of how many posts' days of a month the new figures are others than the old ones. */
function differencesOf(cluster: Cluster, index: number, shards: readonly Shard[], month: string): string {
  const counts = ['views', 'unique_views', 'logged_in', 'bots']
  const old = figures(cluster, `kind = 'post' AND ${month} AND ${isOfShard(index, shards)}`)
  const times = (sign: string) =>
    ['first_viewed_at', 'last_viewed_at']
      .map(time => `${sign}toInt64(ifNull(toUnixTimestamp(${time}), 0))`)
      .join(', ')
  const sums = `min(first_viewed_at) AS first_viewed_at, max(last_viewed_at) AS last_viewed_at, ${counts.map(count => `sum(f.${count}) AS ${count}`).join(', ')}`
  return `SELECT count() AS differing FROM (
      SELECT post, day FROM (
        SELECT post, day, [${counts.join(', ')}, ${times('')}] AS v
        FROM (SELECT ${POST_KEY} AS post, day, ${sums} FROM ${old} AS f GROUP BY post, day)
        UNION ALL
        SELECT post, day, [${counts.map(count => `-toInt64(${count})`).join(', ')}, ${times('-')}]
        FROM (SELECT * FROM post_view_days FINAL WHERE ${month})
      )
      GROUP BY post, day
      HAVING arrayExists(x -> x != 0, sumForEach(v))
    )`
}
