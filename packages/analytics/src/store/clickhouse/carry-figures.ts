/**
 * Takes over figures that were counted elsewhere, once the rows from there are here. Where a figure is more than its rows
 * add up to, the difference becomes a base. The figures are read from a table, on any shard, whose columns are the fields of
 * `CopiedFigures`.
 */

import { DIMENSION_NAMES } from '@postviews/client/src/figures.ts'
import { KEPT_OF_POST, KEPT_OF_SITE, REMAINDER } from '../bounds.ts'
import type { Day } from '../days.ts'
import { DETAILS } from '../figures.ts'
import type { Progress } from '../store.ts'
import { raise } from './agreed.ts'
import { ADDS, COUNTS, IS_COUNTED, keptCounts, summed, valuesOfRows } from './breakdowns.ts'
import { type Cluster, overAll, type Shard } from './connection.ts'
import { addsTo, eachSummed, eachUnique, KIND, OF_BASE, READER, sumOf, uniquesOf } from './count.ts'
import { rollAll } from './recount.ts'
import { countPosts, countSite, countTotals, inSteps, rollingOf } from './roll.ts'
import { SITE } from './sql.ts'
import type { Engine } from './state.ts'

export interface CarriedFigures {
  /** A table, or as SQL what is read in its place. */
  table: string
  /** The first day whose rows are complete; 1970-01-01 where none was pruned. */
  rawFrom: Day
  /** All rows here were received since; Unix seconds. */
  cutoff: number
  /** As SQL, `SELECT post_uuid, day, reader, reader_kind`: the known readers of days that are still open, see `KIND`. */
  readersOf(where: string): string | Promise<string>
}

/** Needs the rows to be there, and nobody else to write. Returns for how many days of posts the new figures differ. */
export async function carryFigures(
  engine: Engine,
  carried: CarriedFigures,
  progress: Progress,
): Promise<number> {
  const { cluster } = engine
  const shards = await cluster.shards()
  await raise(cluster, 'cutoff', carried.cutoff)
  const months = await monthsOf(cluster, carried)
  for (const [index, shard] of shards.entries()) {
    await shard.run('TRUNCATE TABLE post_view_bases')
    await shard.run(
      `INSERT INTO post_view_names SELECT DISTINCT ${POST_KEY}, post_uuid
       FROM ${figures(cluster, carried, `kind = 'post' AND ${isOfShard(index, shards)}`)} AS f WHERE NOT ${IS_UUID}`,
    )
    for (const [done, month] of months.entries()) {
      progress('figures', done, months.length)
      await shard.run(await basesOf(cluster, carried, index, shards, month))
    }
  }
  for (const month of months) await shards[0]!.run(basesOfSite(cluster, carried, month))
  await rollAll(engine)
  for (const shard of shards) {
    const rows = await shard.all('SELECT DISTINCT day FROM post_view_bases')
    const days = rows.map(({ day }) => String(day))
    const rolling = await rollingOf(engine, shard)
    let done = 0
    for (const some of await inSteps(shard, engine, days)) {
      progress('days', done, days.length)
      await countPosts(shard, rolling, some, 'true')
      done += some.length
    }
    const sums = await rollingOf(engine, shard)
    await countSite(shard, sums, days)
    await countTotals(shard, sums, 'true')
  }
  let differing = 0
  for (const [index, shard] of shards.entries()) {
    for (const month of months) {
      const [row] = await shard.all(differencesOf(cluster, carried, index, shards, month))
      differing += Number(row!['differing'])
    }
  }
  return differing
}

/** As SQL: `isOwnKey`. */
export const IS_UUID = `(match(post_uuid, '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$') AND post_uuid != '${SITE}')`
/** As SQL: `postKey`. */
export const POST_KEY = `if(${IS_UUID}, toUUIDOrZero(post_uuid),
  toUUID(replaceRegexpOne(lower(hex(substring(SHA256(post_uuid), 1, 16))), '^(.{8})(.{4})(.{4})(.{4})', '\\\\1-\\\\2-\\\\3-\\\\4-')))`

/** As SQL: `shardOf` of a post. */
export function isOfShard(index: number, shards: readonly Shard[]): string {
  return shards.length === 1 ? 'true' : `CRC32(post_uuid) % ${shards.length} = ${index}`
}

/** As `Cluster.from`, of these tables. */
export function fromAll(cluster: Cluster, select: string): string {
  const { database } = cluster.address
  const named = select.replace(/\bpost_view_(?:deliveries|visitors|sums)\b/g, table => `${database}.${table}`)
  return overAll(named, cluster.address)
}

function figures(cluster: Cluster, { table }: CarriedFigures, where: string): string {
  return fromAll(cluster, `SELECT * FROM ${table} WHERE ${where}`)
}

/** As SQL, the months that have figures, each as a condition. */
async function monthsOf(cluster: Cluster, { table }: CarriedFigures): Promise<string[]> {
  const rows = await cluster.all(
    `SELECT DISTINCT month FROM ${fromAll(cluster, `SELECT DISTINCT toYYYYMM(day) AS month FROM ${table} WHERE kind IN ('post', 'site_value')`)} AS m
     ORDER BY month`,
  )
  return rows.map(({ month }) => `toYYYYMM(day) = ${month}`)
}

const NOTHING = `toInt64(0) AS n, false AS is_unknown, ${DETAILS.map(name => `toInt64(0) AS adds_${name}`).join(', ')}, NULL AS first_at, NULL AS last_at`
const NO_READER = 'toUInt64(0) AS reader, toUInt8(0) AS kind, false AS is_listed'

/** As SQL: what the figures of a month have beyond the rows. A day that is still open keeps its known readers. */
async function basesOf(
  cluster: Cluster,
  carried: CarriedFigures,
  index: number,
  shards: readonly Shard[],
  month: string,
): Promise<string> {
  const { rawFrom, cutoff } = carried
  const pruned = `${month} AND day < '${rawFrom}'`
  const here = `${pruned} AND ${isOfShard(index, shards)}`
  const isUnknown = `kind = 'post' AND ${month} AND NOT is_detailed`
  const which = `(${pruned} OR day IN (SELECT day FROM ${figures(cluster, carried, isUnknown)} AS u))`
  const based = `kind = 'post' AND ${isOfShard(index, shards)} AND (${pruned} OR ${isUnknown})`
  const rows = rowsOnce(which)
  const parts = [
    `SELECT ${POST_KEY} AS post, day, views AS n, NOT is_detailed AS is_unknown, ${DETAILS.map(name => `${name} AS adds_${name}`).join(', ')},
            first_viewed_at AS first_at, last_viewed_at AS last_at, ${NO_READER}
     FROM ${figures(cluster, carried, based)} AS f`,
    `SELECT post, day, -toInt64(counts = 1), false, ${eachUnique(() => 'toInt64(0)')}, ${eachSummed(name => `-toInt64(${addsTo(name)})`)}, NULL, NULL,
            ${READER}, ${KIND}, false
     FROM (${rows})`,
    `SELECT ${POST_KEY}, day, ${NOTHING}, reader, reader_kind, true
     FROM (${await carried.readersOf(here)})`,
  ]
  const uniques = uniquesOf()
  // What is not known stays so. Of a day that is not known as a whole, the rest says nothing.
  const rest = (sum: string) => `if(is_unknown_day, 0, if(${sum} < 0, 0, toUInt64(${sum})))`
  const values = `SELECT ${POST_KEY} AS post, day, dimension, value, ${CARRIED} FROM ${figures(cluster, carried, `kind = 'value' AND ${here}`)} AS f
    UNION ALL ${without(valuesOfRows(`SELECT post, day, ${ADDS} FROM (${rows}) WHERE ${pruned} AND ${IS_COUNTED}`, DIMENSION_NAMES))}`
  return `INSERT INTO post_view_bases (${OF_BASE})
    SELECT day, post, ${cutoff}, views, ${DETAILS.join(', ')}, first_viewed_at, last_viewed_at, if(is_unknown_day, day, toDate(0)),
           arrayMap(r -> r.1, readers), arrayMap(r -> r.2, readers), ${COUNTS}
    FROM (
      SELECT day, post, toUInt64(greatest(sum(n), 0)) AS views, max(is_unknown) AS is_unknown_day,
             ${eachUnique(name => `${rest(`${sumOf(`adds_${name}`)} - toInt64(${uniques[name]})`)} AS ${name}`)},
             ${eachSummed(name => `${rest(sumOf(`adds_${name}`))} AS ${name}`)},
             min(first_at) AS first_viewed_at, max(last_at) AS last_viewed_at, groupUniqArrayIf((reader, kind), is_listed) AS readers
      FROM (${parts.join(' UNION ALL ')})
      GROUP BY day, post
    ) AS f
    LEFT ANY JOIN (${keptOf(values, KEPT_OF_POST)}) AS v ON f.post = v.post AND f.day = v.day
    WHERE views + ${DETAILS.map(name => `ifNull(${name}, 0)`).join(' + ')} > 0 OR is_unknown_day OR notEmpty(dimensions)`
}

/** The same for the values of the site: of all shards, kept on the first. */
function basesOfSite(cluster: Cluster, carried: CarriedFigures, month: string): string {
  const { rawFrom, cutoff } = carried
  const which = `${month} AND day < '${rawFrom}'`
  const rows = cluster.from(
    `SELECT toUUID('${SITE}') AS post, day, ${ADDS} FROM (${rowsOnce(which)}) WHERE ${IS_COUNTED}`,
  )
  const values = `SELECT toUUID('${SITE}') AS post, day, dimension, value, ${CARRIED} FROM ${figures(cluster, carried, `kind = 'site_value' AND ${which}`)} AS f
    UNION ALL ${without(valuesOfRows(`SELECT * FROM ${rows} AS s`, DIMENSION_NAMES))}`
  return `INSERT INTO post_view_bases (${OF_BASE})
    SELECT day, post, ${cutoff}, 0, ${DETAILS.map(() => 0).join(', ')}, NULL, NULL, toDate(0), [], [], ${COUNTS}
    FROM (${keptOf(values, KEPT_OF_SITE)})
    WHERE notEmpty(dimensions)`
}

/** A row that was inserted twice is there twice until it is merged; FINAL would have to read a month of partitions here. */
function rowsOnce(where: string): string {
  return `SELECT * FROM post_view_rows WHERE ${where}
    ORDER BY version DESC LIMIT 1 BY hour, post, id`
}

/** As SQL: the views of a value that is carried over. */
const CARRIED = 'views AS n, if(is_detailed, bots, NULL) AS n_bots'

/** As SQL: values to subtract. */
function without(values: string): string {
  return `SELECT post, day, toString(dimension), value, -toInt64(n), -toInt64(n_bots) FROM (${values})`
}

/** A value with more views in its rows than in its figures is in their remainder: elsewhere a settled day gets no new values. */
function keptOf(values: string, limit: number): string {
  const isRest = `value = '${REMAINDER}' OR n < 0 OR ifNull(n_bots, 0) < 0`
  const differing = `SELECT post, day, dimension, if(${isRest}, '${REMAINDER}', value) AS value, n, n_bots FROM (${summed(values)})`
  const left = `SELECT post, day, dimension, value, toUInt64(greatest(n, 0)) AS n, toUInt64OrNull(toString(greatest(n_bots, 0))) AS n_bots
    FROM (${summed(differing)}) WHERE n > 0 OR n_bots > 0 OR n_bots IS NULL`
  return keptCounts(left, limit)
}

/** As SQL: for how many days of posts of a month the new figures differ from the old ones. */
function differencesOf(
  cluster: Cluster,
  carried: CarriedFigures,
  index: number,
  shards: readonly Shard[],
  month: string,
): string {
  const counts = ['views', ...DETAILS]
  const old = figures(cluster, carried, `kind = 'post' AND ${month} AND ${isOfShard(index, shards)}`)
  const times = (sign: string) =>
    ['first_viewed_at', 'last_viewed_at']
      .map(time => `${sign}toInt64(ifNull(toUnixTimestamp(${time}), 0))`)
      .join(', ')
  const sums = `min(first_viewed_at) AS first_viewed_at, max(last_viewed_at) AS last_viewed_at, sum(f.views) AS views, ${DETAILS.map(name => `${sumOf(`f.${name}`)} AS ${name}`).join(', ')}`
  // A detail that one of the two does not know is no difference.
  const known =
    'arrayMap((x, unknown) -> if(unknown > 0, 0, x), sumForEach(arrayMap(x -> ifNull(x, 0), v)), sumForEach(arrayMap(x -> isNull(x), v)))'
  return `SELECT count() AS differing FROM (
      SELECT post, day FROM (
        SELECT post, day, [${counts.map(count => `toInt64(${count})`).join(', ')}, ${times('')}] AS v
        FROM (SELECT ${POST_KEY} AS post, day, ${sums} FROM ${old} AS f GROUP BY post, day)
        UNION ALL
        SELECT post, day, [${counts.map(count => `-toInt64(${count})`).join(', ')}, ${times('-')}]
        FROM (SELECT * FROM post_view_days FINAL WHERE ${month})
      )
      GROUP BY post, day
      HAVING arrayExists(x -> x != 0, ${known})
    )`
}
