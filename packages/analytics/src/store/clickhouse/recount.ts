/**
 * What the figures must say, from the rows of the batches that are done; and what they do say. Batches that are done never
 * change, so one moment in the order of the figures' commits is a snapshot of all shards. The servers compare the two, and
 * tell what differs: of millions of figures next to none.
 */

import type { Day } from '../calendar.ts'
import { FIGURE_COLUMNS, isOfShard, READER_COLUMNS } from './batch.ts'
import type { Row } from './connection.ts'
import { homeOfLabel } from './labels.ts'
import { inGroups } from './rederive.ts'
import { rollupsOf } from './rollup.ts'
import { COMMITTED, dayKeys, type Engine, latestFigures, type State } from './state.ts'

/** What there is to recount: some days, as far as they were counted at one moment. */
export interface Snapshot {
  days: readonly Day[]
  /** Those whose raw rows are complete; of the others only sums can be proven. */
  complete: readonly Day[]
  /** Those of the complete ones whose visitors are still listed. */
  open: readonly Day[]
  /** Of the settings whose readers are listed. */
  epoch: number
  /** As SQL over the figures: committed before that moment. */
  before: string
  /** As SQL: the labels of the batches that were done then, among them all that have rows or visitors of the days. */
  done: string
}

/** So long a batch is taken to be under way that is not done. */
export const UNDER_WAY_SECONDS = 60

/** As SQL over the figures: what was committed by now, on each shard. */
export async function committedByNow({ cluster }: Engine): Promise<string> {
  const shards = await cluster.shards()
  const latest = await Promise.all(
    shards.map(async shard => {
      const isHere = shards.length === 1 ? 'true' : `shardNum() = ${shard.number}`
      return `${isHere} AND _block_number <= ${await latestFigures(shard)}`
    }),
  )
  return `(${latest.join(' OR ')})`
}

export async function snapshotOf(engine: Engine, state: State, days: readonly Day[]): Promise<Snapshot> {
  const { cluster } = engine
  const before = await committedByNow(engine)
  const labels = (table: string) =>
    `SELECT low, high FROM ${cluster.from(
      `SELECT min(UUIDToNum(batch)) AS low, max(UUIDToNum(batch)) AS high FROM ${table}
       WHERE ${isOneOf(days)} HAVING count() > 0`,
    )}`
  const [[range], keys] = await Promise.all([
    cluster.all(
      `SELECT UUIDNumToString(min(low)) AS low, UUIDNumToString(max(high)) AS high
       FROM (${labels('post_view_deliveries')} UNION ALL ${labels('post_view_visitors')})`,
    ),
    dayKeys(await cluster.first()),
  ])
  const complete = days.filter(day => state.rawFrom === null || day >= state.rawFrom)
  const open = complete.filter(day => state.openFrom === null || day >= state.openFrom || keys.has(day))
  return { days, complete, open, epoch: state.epoch, before, done: doneBetween(engine, before, range!) }
}

/** As SQL: the labels of the batches done, of a range of labels. */
export function doneBetween({ cluster }: Engine, before: string, { low, high }: Row): string {
  return `(SELECT batch FROM ${cluster.from(
    `SELECT batch, _block_number FROM post_view_sums
     WHERE kind = 'batch' AND ${before}
       AND UUIDToNum(batch) BETWEEN UUIDStringToNum('${low}') AND UUIDStringToNum('${high}')`,
  )})`
}

function isOneOf(days: readonly Day[]): string {
  return days.length === 0 ? 'false' : `day IN (${days.map(day => `'${day}'`).join(', ')})`
}

/** As SQL: the views of the days: the first rows of their ids, of batches that are done. */
function viewsOf({ cluster, settings }: Engine, { complete, done }: Snapshot): string {
  return `(
    SELECT *, ${settings.bots === 'exclude' ? '1 - bot' : '1'} AS counts
    FROM ${cluster.from(
      `SELECT * FROM (
         SELECT * FROM post_view_deliveries
         WHERE id IN (SELECT id FROM post_view_deliveries WHERE ${isOneOf(complete)})
         ORDER BY UUIDToNum(id), _block_number, _block_offset
         LIMIT 1 BY id
       )
       WHERE ${isOneOf(complete)}`,
    )}
    WHERE batch IN ${done}
  )`
}

const READER = 'day, post_uuid, slice, visitor'
/** As SQL: the label of no batch. */
const NOBODY = "toUUID('00000000-0000-0000-0000-000000000000')"

/**
 * As SQL: each reader of the days, and the batch that it is unique in: the one that is listed first with it; null while that
 * one is under way. Where nobody is listed any more, or the wrong one, the lowest label: any would do, for the sum is the
 * same. Readers of no view are among them, by no batch. `where` narrows the posts.
 */
function ownersOf(engine: Engine, snapshot: Snapshot, where = 'true'): string {
  const { open, epoch, done } = snapshot
  const listed = engine.cluster.from(
    `SELECT *, _block_number, _block_offset FROM post_view_visitors
     WHERE ${isOneOf(open)} AND epoch = ${epoch} AND ${where}`,
  )
  return `(
    SELECT ${READER}, listed, batches, under_way,
           multiIf(empty(batches), NULL,
                   has(batches, listed), toNullable(listed),
                   listed != ${NOBODY} AND NOT is_listed_done, NULL,
                   toNullable(arrayMin(batches))) AS owner
    FROM (
      SELECT ${READER}, groupUniqArrayIf(batch, is_view) AS batches,
             argMinIf(batch, committed, NOT is_view) AS listed, argMinIf(is_done, committed, NOT is_view) AS is_listed_done,
             countIf(NOT is_view AND NOT is_done AND UUIDv7ToDateTime(batch) > now() - ${UNDER_WAY_SECONDS}) AS under_way
      FROM (
        SELECT ${READER}, batch, true AS is_view, true AS is_done, (toUInt64(0), toUInt64(0)) AS committed
        FROM ${viewsOf(engine, snapshot)}
        WHERE counts = 1 AND ${where}
        UNION ALL
        SELECT ${READER}, batch, false, toBool(batch IN ${done}), ${COMMITTED} FROM ${listed}
      )
      GROUP BY ${READER}
    )
  )`
}

/** As SQL: a reader of views who is not listed, though the day's readers are; a listed one who has no view. */
const UNLISTED = (open: readonly Day[]) => `listed = ${NOBODY} AND ${isOneOf(open)}`
const UNVIEWED = 'empty(batches) AND under_way = 0'

/** Numbers by column. Times are Unix seconds. */
export interface Aggregate {
  view_count: number
  unique_views: number
  logged_in: number
  bots: number
  first_viewed_at: number | null
  last_viewed_at: number | null
}

export type FigureKind = 'post' | 'referrer' | 'site' | 'site_referrer'

/** A number that is not what it must be: whose, and of which day. */
export interface WrongFigure {
  kind: FigureKind
  day: Day
  post: string
  host: string
  /** Null where there must be none, or is none. */
  expected: Aggregate | null
  found: Aggregate | null
}

/** How many readers of a post should be listed on a day and are not, and how many are and have no view. */
export interface WrongReaders {
  day: Day
  post: string
  unlisted: number
  unviewed: number
}

export interface Wrong {
  figures: WrongFigure[]
  readers: WrongReaders[]
}

const COUNTS = ['views', 'unique_views', 'logged_in', 'bots'] as const
const TIMES = ['first_viewed_at', 'last_viewed_at'] as const

/**
 * As SQL: what the figures must say beside what they do say, `expected_…` and `found_…`. `keptAs` is SQL of a label: under
 * which one what its batch adds is kept, or one for all batches.
 */
function comparisonOf(engine: Engine, snapshot: Snapshot, keptAs: (batch: string) => string): string {
  const { days, complete, open, before } = snapshot
  const gone = days.filter(day => !complete.includes(day))
  const zeros = (...names: string[]) => names.map(name => `toInt64(0) AS ${name}`).join(', ')
  const stored = (where: string) =>
    engine.cluster.from(
      `SELECT * FROM post_view_sums
       WHERE kind IN ('post', 'referrer', 'site', 'site_referrer') AND ${where} AND ${before}`,
    )
  const sources = [
    // The views, by the host they came from: to the post and the site, and where they count to those of the host.
    `SELECT [('post', post_uuid, ''), ('site', '', ''), ('referrer', post_uuid, referer_host), ('site_referrer', '', referer_host)] AS keys,
            ${keptAs('batch')} AS kept, day, true AS is_expected, 0 AS version,
            toInt64(sum(counts)) AS views, ${zeros('unique_views')},
            toInt64(sum(counts * logged_in)) AS logged_in, toInt64(sum(bot)) AS bots,
            minOrNullIf(viewed_at, counts = 1) AS first_viewed_at, maxOrNullIf(viewed_at, counts = 1) AS last_viewed_at,
            ${zeros('unlisted', 'unviewed')}
     FROM ${viewsOf(engine, snapshot)} AS views
     GROUP BY kept, day, post_uuid, referer_host`,
    // Their readers.
    `SELECT [('post', post_uuid, ''), ('site', '', '')] AS keys,
            ${keptAs(`ifNull(owner, ${NOBODY})`)} AS kept, day, true AS is_expected, 0 AS version,
            ${zeros('views')}, toInt64(countIf(owner IS NOT NULL)) AS unique_views, ${zeros('logged_in', 'bots')},
            NULL AS first_viewed_at, NULL AS last_viewed_at,
            toInt64(countIf(${UNLISTED(open)})) AS unlisted, toInt64(countIf(${UNVIEWED})) AS unviewed
     FROM ${ownersOf(engine, snapshot)}
     GROUP BY kept, day, post_uuid`,
    `SELECT [(toString(kind), post_uuid, host)] AS keys, ${keptAs('batch')} AS kept, day, false AS is_expected, version,
            views, unique_views, logged_in, bots, first_viewed_at, last_viewed_at, ${zeros('unlisted', 'unviewed')}
     FROM ${stored(isOneOf(days))} AS figures`,
    // Of days whose raw rows are gone, the posts' figures are all there is to go by.
    `SELECT if(kind = 'post', [('post', post_uuid, ''), ('site', '', '')],
               [('referrer', post_uuid, host), ('site_referrer', '', host)]) AS keys,
            ${keptAs('batch')} AS kept, day, true AS is_expected, version,
            views, unique_views, logged_in, bots, first_viewed_at, last_viewed_at, ${zeros('unlisted', 'unviewed')}
     FROM ${stored(`kind IN ('post', 'referrer') AND ${isOneOf(gone)}`)} AS figures`,
  ]
  const isOfHost = "kind IN ('referrer', 'site_referrer')"
  return `(
    SELECT kind, kept, day, post_uuid, host,
           countIf(NOT is_expected) > 0 AS is_stored, maxIf(version, NOT is_expected) AS stored_version,
           ${COUNTS.flatMap(count => [
             `sumIf(${count}, is_expected) AS expected_${count}`,
             `sumIf(${count}, NOT is_expected) AS found_${count}`,
           ]).join(', ')},
           minOrNullIf(first_viewed_at, is_expected) AS expected_first_viewed_at,
           minOrNullIf(first_viewed_at, NOT is_expected) AS found_first_viewed_at,
           maxOrNullIf(last_viewed_at, is_expected) AS expected_last_viewed_at,
           maxOrNullIf(last_viewed_at, NOT is_expected) AS found_last_viewed_at,
           sumIf(unlisted, kind = 'post') AS all_unlisted, sumIf(unviewed, kind = 'post') AS all_unviewed
    FROM (
      SELECT arrayJoin(keys) AS key, key.1 AS kind, key.2 AS post_uuid, key.3 AS host, kept, day, is_expected, version, views,
             if(${isOfHost}, 0, unique_views) AS unique_views, if(${isOfHost}, 0, logged_in) AS logged_in,
             if(${isOfHost}, 0, bots) AS bots, if(${isOfHost}, NULL, first_viewed_at) AS first_viewed_at,
             if(${isOfHost}, NULL, last_viewed_at) AS last_viewed_at, unlisted, unviewed
      FROM (${sources.join(' UNION ALL ')})
    )
    GROUP BY kind, kept, day, post_uuid, host
  )`
}

/** As SQL over a comparison. */
const DIFFERS = [
  ...COUNTS.map(count => `expected_${count} != found_${count}`),
  ...TIMES.map(
    time => `ifNull(toUnixTimestamp(expected_${time}), 0) != ifNull(toUnixTimestamp(found_${time}), 0)`,
  ),
].join(' OR ')

/** What differs, of all batches together. */
export async function wrongIn(engine: Engine, snapshot: Snapshot): Promise<Wrong> {
  const times = TIMES.flatMap(time =>
    ['expected', 'found'].map(which => `toUnixTimestamp(${which}_${time}) AS ${which}_${time}`),
  )
  const rows = await engine.cluster.all(
    `SELECT * REPLACE (${times.join(', ')}), ${DIFFERS} AS differs
     FROM ${comparisonOf(engine, snapshot, () => NOBODY)}
     WHERE (${DIFFERS}) OR all_unlisted > 0 OR all_unviewed > 0
     ORDER BY kind, day, post_uuid, host`,
  )
  const wrong: Wrong = { figures: [], readers: [] }
  for (const row of rows) {
    const [day, post] = [String(row['day']), String(row['post_uuid'])]
    const [unlisted, unviewed] = [Number(row['all_unlisted']), Number(row['all_unviewed'])]
    if (unlisted + unviewed > 0) wrong.readers.push({ day, post, unlisted, unviewed })
    if (Number(row['differs']) === 0) continue
    const [expected, found] = [aggregateOf(row, 'expected'), aggregateOf(row, 'found')]
    const kind = row['kind'] as FigureKind
    wrong.figures.push({ kind, day, post, host: String(row['host']), expected, found })
  }
  return wrong
}

function aggregateOf(row: Row, which: 'expected' | 'found'): Aggregate | null {
  const count = (name: (typeof COUNTS)[number]) => Number(row[`${which}_${name}`])
  const time = (name: (typeof TIMES)[number]) => {
    const value = row[`${which}_${name}`]
    return value === null ? null : Number(value)
  }
  // What was taken back is all zeros.
  if (COUNTS.every(name => count(name) === 0)) return null
  return {
    view_count: count('views'),
    unique_views: count('unique_views'),
    logged_in: count('logged_in'),
    bots: count('bots'),
    first_viewed_at: time('first_viewed_at'),
    last_viewed_at: time('last_viewed_at'),
  }
}

/**
 * Writes what batches, or the rollups of their days, must add where it is something else: in its next version, and all of a
 * shard in one statement. Interrupted, it has written some of it.
 */
export async function writeFigures(engine: Engine, snapshot: Snapshot): Promise<void> {
  const shards = await engine.cluster.shards()
  const { labelOf, isRollup } = await rollupsOf(shards)
  const comparison = comparisonOf(engine, snapshot, labelOf)
  for (const [index, shard] of shards.entries()) {
    await shard.run(
      `INSERT INTO post_view_figures (${FIGURE_COLUMNS}, is_rollup)
       SELECT kind, post_uuid, day, host, 0, kept, stored_version + is_stored,
              ${[...COUNTS, ...TIMES].map(name => `expected_${name}`).join(', ')}, now(), ${isRollup('kept')}
       FROM ${comparison}
       WHERE (${DIFFERS}) AND ${homeOfLabel('kept', shards.length)} = ${index}`,
    )
  }
}

export interface Reader {
  day: Day
  post: string
  slice: number
  /** 32 hex digits. */
  visitor: string
}

/** Readers of views, on days whose readers are listed, who are not. */
export function unlistedReaders(engine: Engine, snapshot: Snapshot): Promise<Reader[]> {
  return readers(engine, snapshot, UNLISTED(snapshot.open))
}

/** Readers who are listed, by no batch that is under way, and have no view. */
export function unviewedReaders(engine: Engine, snapshot: Snapshot): Promise<Reader[]> {
  return readers(engine, snapshot, UNVIEWED)
}

async function readers(engine: Engine, snapshot: Snapshot, which: string): Promise<Reader[]> {
  const rows = await engine.cluster.all(
    `SELECT day, post_uuid, slice, lower(hex(visitor)) AS reader
     FROM ${ownersOf(engine, snapshot)}
     WHERE ${which}`,
  )
  return rows.map(row => ({
    day: String(row['day']),
    post: String(row['post_uuid']),
    slice: Number(row['slice']),
    visitor: String(row['reader']),
  }))
}

/** Held by the server that lists them; in several parts is as good. */
const READERS_A_PART = 1_000_000

/**
 * Lists the readers of the days who are not listed. Whoever is listed first meanwhile stays the first. The servers do it
 * among themselves: there may be millions.
 */
export async function listReaders(engine: Engine, snapshot: Snapshot): Promise<void> {
  const shards = await engine.cluster.shards()
  for (const [index, shard] of shards.entries()) {
    await shard.run(
      `INSERT INTO post_view_visitors (${READER_COLUMNS})
       SELECT day, post_uuid, slice, visitor, ${snapshot.epoch}, assumeNotNull(owner)
       FROM ${ownersOf(engine, snapshot, isOfShard('post_uuid', index, shards.length))}
       WHERE ${UNLISTED(snapshot.open)}
       SETTINGS min_insert_block_size_rows = ${READERS_A_PART}`,
    )
  }
}

/** Every day there may be something of, oldest first, in groups to recount together. */
export async function allDays({ cluster }: Engine): Promise<Day[][]> {
  const rows = await cluster.all(
    `SELECT day, sum(found) AS rows FROM (
       SELECT day, found FROM ${cluster.from(
         'SELECT day, count() AS found FROM post_view_deliveries GROUP BY day',
       )}
       UNION ALL SELECT day, found FROM ${cluster.from(
         `SELECT day, 0 AS found FROM post_view_figures
          WHERE kind IN ('site', 'site_referrer', 'post', 'referrer') GROUP BY day`,
       )}
       UNION ALL SELECT day, found FROM ${cluster.from(
         'SELECT day, 0 AS found FROM post_view_visitors GROUP BY day',
       )}
     ) GROUP BY day ORDER BY day`,
  )
  return inGroups(rows)
}
