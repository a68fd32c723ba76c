/**
 * What the figures must say, from the rows of the batches that are done; and what they do say. Batches that are done never
 * change, so one moment in the order of the figures' commits is a snapshot of all shards.
 */

import type { Day } from '../calendar.ts'
import { READER_COLUMNS } from './batch.ts'
import type { Row } from './connection.ts'
import { daysInGroups, ROWS_A_GROUP } from './rederive.ts'
import { COMMITTED, dayKeys, type Engine, type State } from './state.ts'

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
  /** As SQL: the posts in portions, whose views are not too many to be gone through together. */
  portions: readonly string[]
}

/** So long a batch is taken to be under way that is not done. */
export const UNDER_WAY_SECONDS = 60

/** As SQL over the figures: what was committed by now, on each shard. */
export async function committedByNow({ cluster }: Engine): Promise<string> {
  const shards = await cluster.shards()
  const latest = await Promise.all(
    shards.map(async shard => {
      const [row] = await shard.all(
        `SELECT max(max_block_number) AS latest FROM system.parts
         WHERE database = currentDatabase() AND table = 'post_view_figures' AND active`,
      )
      const isHere = shards.length === 1 ? 'true' : `shardNum() = ${shard.number}`
      return `${isHere} AND _block_number <= ${row!['latest']}`
    }),
  )
  return `(${latest.join(' OR ')})`
}

export async function snapshotOf(engine: Engine, state: State, days: readonly Day[]): Promise<Snapshot> {
  const { cluster } = engine
  const before = await committedByNow(engine)
  const labels = (table: string) =>
    `SELECT low, high, rows FROM ${cluster.from(
      `SELECT min(UUIDToNum(batch)) AS low, max(UUIDToNum(batch)) AS high, count() AS rows FROM ${table}
       WHERE ${isOneOf(days)} HAVING rows > 0`,
    )}`
  const [[range], keys] = await Promise.all([
    cluster.all(
      `SELECT UUIDNumToString(min(low)) AS low, UUIDNumToString(max(high)) AS high, sum(rows) AS rows
       FROM (${labels('post_view_deliveries')} UNION ALL ${labels('post_view_visitors')})`,
    ),
    dayKeys(await cluster.first()),
  ])
  const complete = days.filter(day => state.rawFrom === null || day >= state.rawFrom)
  const open = complete.filter(day => state.openFrom === null || day >= state.openFrom || keys.has(day))
  const done = doneBetween(engine, before, range!)
  return { days, complete, open, epoch: state.epoch, before, done, portions: portionsOf(range!) }
}

function portionsOf({ rows }: Row): string[] {
  const portions = Math.ceil(Number(rows) / ROWS_A_GROUP)
  return portions < 2 ? ['true'] : Array.from({ length: portions }, (_, n) => portion(n, portions))
}

/** As SQL: the posts of which a number of portions has this one, from 0. `shardOf` cuts posts so. */
function portion(index: number, portions: number): string {
  return `CRC32(post_uuid) % ${portions} = ${index}`
}

/** As SQL: the labels of the batches done, of a range of labels. */
export function doneBetween({ cluster }: Engine, before: string, { low, high }: Row): string {
  return `(SELECT batch FROM ${cluster.from(
    `SELECT batch, _block_number FROM post_view_figures
     WHERE kind = 'batch' AND ${before}
       AND UUIDToNum(batch) BETWEEN UUIDStringToNum('${low}') AND UUIDStringToNum('${high}')`,
  )})`
}

function isOneOf(days: readonly Day[]): string {
  return days.length === 0 ? 'false' : `day IN (${days.map(day => `'${day}'`).join(', ')})`
}

/** The views of the days: the first rows of their ids, of batches that are done. `where` narrows the posts. */
function viewsOf({ cluster, settings }: Engine, { complete, done }: Snapshot, where: string): string {
  return `(
    SELECT *, ${settings.bots === 'exclude' ? '1 - bot' : '1'} AS counts
    FROM ${cluster.from(
      `SELECT * FROM (
         SELECT * FROM post_view_deliveries
         WHERE id IN (SELECT id FROM post_view_deliveries WHERE ${isOneOf(complete)})
         ORDER BY UUIDToNum(id), _block_number, _block_offset
         LIMIT 1 BY id
       )
       WHERE ${isOneOf(complete)} AND ${where}`,
    )}
    WHERE batch IN ${done}
  )`
}

const READER = 'day, post_uuid, slice, visitor'
/** Held by the server that lists them; in several parts is as good. */
const READERS_A_PART = 1_000_000
/** As SQL: what a join gives for a label where there is none. */
const NOBODY = "toUUID('00000000-0000-0000-0000-000000000000')"

/**
 * Each reader of the days, and the batch that it is unique in: the one that is listed first with it; null while that one
 * is under way. Where nobody is listed any more, or the wrong one, the lowest label: any would do, for the sum is the same.
 * Readers of no view are among them, by no batch.
 */
function ownersOf(engine: Engine, snapshot: Snapshot, where: string): string {
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
      SELECT ${READER}, groupUniqArray(batch) AS batches
      FROM ${viewsOf(engine, snapshot, where)}
      WHERE counts = 1
      GROUP BY ${READER}
    ) AS readers
    FULL JOIN (
      SELECT ${READER}, argMin(batch, ${COMMITTED}) AS listed, argMin(is_done, ${COMMITTED}) AS is_listed_done,
             countIf(UUIDv7ToDateTime(batch) > now() - ${UNDER_WAY_SECONDS} AND NOT is_done) AS under_way
      FROM (SELECT *, _block_number, _block_offset, batch IN ${done} AS is_done FROM ${listed})
      GROUP BY ${READER}
    ) AS visitors USING (${READER})
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

export function toAggregate(row: Row): Aggregate {
  const time = (value: unknown) => (value === null || value === undefined ? null : Number(value))
  return {
    view_count: Number(row['views'] ?? 0),
    unique_views: Number(row['unique_views'] ?? 0),
    logged_in: Number(row['logged_in'] ?? 0),
    bots: Number(row['bots'] ?? 0),
    first_viewed_at: time(row['first_viewed_at']),
    last_viewed_at: time(row['last_viewed_at']),
  }
}

export type FigureKind = 'post' | 'referrer' | 'site' | 'site_referrer'

/** One number of the figures: whose, and of which day. The batch is left out of sums. */
export interface Figure {
  kind: FigureKind
  batch: string
  day: Day
  post: string
  host: string
  /** The latest there is; 0 in what is expected. */
  version: number
  aggregate: Aggregate
}

/** What tells one figure from another. */
export function keyOf({ kind, batch, day, post, host }: Omit<Figure, 'version' | 'aggregate'>): string {
  return [kind, batch, day, post, host].join('\n')
}

/** Of all batches together, or of each one by itself. */
export type By = 'all' | 'batch'

/** How many readers of a post should be listed on a day and are not, and how many are and have no view. */
export interface WrongReaders {
  day: Day
  post: string
  unlisted: number
  unviewed: number
}

export interface Expected {
  figures: Map<string, Figure>
  readers: WrongReaders[]
}

/** The posts of the days, and where their readers came from, as a recount says. `where` narrows the posts. */
export async function expectedFigures(
  engine: Engine,
  snapshot: Snapshot,
  by: By,
  where = 'true',
): Promise<Expected> {
  const batch = by === 'batch' ? 'batch' : "''"
  const [hosts, uniques] = await Promise.all([
    engine.cluster.all(
      `SELECT ${batch} AS of_batch, day, post_uuid, referer_host AS host,
              sum(counts) AS views, sum(counts * logged_in) AS logged_in, sum(bot) AS bots,
              toUnixTimestamp(minOrNullIf(viewed_at, counts = 1)) AS first_viewed_at,
              toUnixTimestamp(maxOrNullIf(viewed_at, counts = 1)) AS last_viewed_at
       FROM ${viewsOf(engine, snapshot, where)} AS views
       GROUP BY of_batch, day, post_uuid, host`,
    ),
    engine.cluster.all(
      `SELECT ${by === 'batch' ? 'owner' : "''"} AS of_batch, day, post_uuid,
              countIf(owner IS NOT NULL) AS unique_views,
              countIf(${UNLISTED(snapshot.open)}) AS unlisted, countIf(${UNVIEWED}) AS unviewed
       FROM ${ownersOf(engine, snapshot, where)}
       GROUP BY of_batch, day, post_uuid`,
    ),
  ])
  const found = new Map<string, Figure>()
  const add = (figure: Figure) => {
    const key = keyOf(figure)
    const before = found.get(key)
    const aggregate = before === undefined ? figure.aggregate : sumOf([before.aggregate, figure.aggregate])
    found.set(key, { ...figure, aggregate })
  }
  for (const row of hosts) {
    const post = figureOf('post', { ...row, host: '' })
    add(post)
    const { view_count } = post.aggregate
    if (view_count > 0) add({ ...figureOf('referrer', row), aggregate: toAggregate({ views: view_count }) })
  }
  for (const row of uniques) if (Number(row['unique_views']) > 0) add(figureOf('post', row))
  const readers = uniques.map(row => ({
    day: String(row['day']),
    post: String(row['post_uuid']),
    unlisted: Number(row['unlisted']),
    unviewed: Number(row['unviewed']),
  }))
  return { figures: found, readers: readers.filter(({ unlisted, unviewed }) => unlisted + unviewed > 0) }
}

const POST_KINDS = "kind IN ('post', 'referrer')"
const SITE_KINDS = "kind IN ('site', 'site_referrer')"
const SITE_KIND_OF = "if(kind = 'post', 'site', 'site_referrer')"

/** What the figures of posts say. A figure that was taken back, all zeros, is in no sum; of a batch, it tells its version. */
export function postFigures(
  engine: Engine,
  snapshot: Snapshot,
  by: By,
  where = 'true',
): Promise<Map<string, Figure>> {
  return storedFigures(engine, snapshot, by, `${POST_KINDS} AND (${where})`)
}

/** What the site's figures say. */
export function siteFigures(engine: Engine, snapshot: Snapshot, by: By): Promise<Map<string, Figure>> {
  return storedFigures(engine, snapshot, by, SITE_KINDS)
}

/** What the site's figures should say: what the posts' add up to, of each batch. */
export function postFiguresAsSite(engine: Engine, snapshot: Snapshot): Promise<Map<string, Figure>> {
  return storedFigures(engine, snapshot, 'batch', POST_KINDS, { kind: SITE_KIND_OF, post: "''" })
}

async function storedFigures(
  engine: Engine,
  { days, before }: Snapshot,
  by: By,
  where: string,
  as = { kind: 'kind', post: 'post_uuid' },
): Promise<Map<string, Figure>> {
  const source = engine.cluster.from(
    `SELECT *, ${as.kind} AS of_kind, ${as.post} AS of_post, ${by === 'batch' ? 'batch' : "''"} AS of_batch, _block_number
     FROM post_view_figures FINAL
     WHERE ${where} AND ${isOneOf(days)} AND ${before}`,
  )
  const rows = await engine.cluster.all(
    `SELECT of_kind, of_batch, day, of_post AS post_uuid, host,
            max(figures.version) AS version, sum(figures.views) AS views, sum(figures.unique_views) AS unique_views,
            sum(figures.logged_in) AS logged_in, sum(figures.bots) AS bots,
            toUnixTimestamp(min(figures.first_viewed_at)) AS first_viewed_at,
            toUnixTimestamp(max(figures.last_viewed_at)) AS last_viewed_at
     FROM ${source} AS figures
     GROUP BY of_kind, of_batch, day, of_post, host
     ${by === 'batch' ? '' : 'HAVING views != 0 OR unique_views != 0 OR logged_in != 0 OR bots != 0'}`,
  )
  const figures = rows.map(row => figureOf(row['of_kind'] as FigureKind, row))
  return new Map(figures.map(figure => [keyOf(figure), figure]))
}

function figureOf(kind: FigureKind, row: Row): Figure {
  return {
    kind,
    batch: String(row['of_batch']),
    day: String(row['day']),
    post: String(row['post_uuid'] ?? ''),
    host: String(row['host'] ?? ''),
    version: Number(row['version'] ?? 0),
    aggregate: toAggregate(row),
  }
}

/** Adds figures of posts to the site's. */
export function addToSite(site: Map<string, Figure>, posts: Iterable<Figure>): void {
  for (const { kind, aggregate, ...of } of posts) {
    const ofSite: Figure = {
      ...of,
      kind: kind === 'post' ? 'site' : 'site_referrer',
      post: '',
      version: 0,
      aggregate,
    }
    const key = keyOf(ofSite)
    const before = site.get(key)
    site.set(
      key,
      before === undefined ? ofSite : { ...ofSite, aggregate: sumOf([before.aggregate, aggregate]) },
    )
  }
}

function sumOf(aggregates: readonly Aggregate[]): Aggregate {
  const sum = (field: 'view_count' | 'unique_views' | 'logged_in' | 'bots') =>
    aggregates.reduce((total, { [field]: value }) => total + value, 0)
  const times = (field: 'first_viewed_at' | 'last_viewed_at') =>
    aggregates.map(({ [field]: time }) => time).filter(time => time !== null)
  const [first, last] = [times('first_viewed_at'), times('last_viewed_at')]
  return {
    view_count: sum('view_count'),
    unique_views: sum('unique_views'),
    logged_in: sum('logged_in'),
    bots: sum('bots'),
    first_viewed_at: first.length === 0 ? null : Math.min(...first),
    last_viewed_at: last.length === 0 ? null : Math.max(...last),
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
     FROM ${ownersOf(engine, snapshot, 'true')}
     WHERE ${which}`,
  )
  return rows.map(row => ({
    day: String(row['day']),
    post: String(row['post_uuid']),
    slice: Number(row['slice']),
    visitor: String(row['reader']),
  }))
}

/**
 * Lists the readers of the days who are not listed. Whoever is listed first meanwhile stays the first. The servers do it
 * among themselves: there may be millions.
 */
export async function listReaders(engine: Engine, snapshot: Snapshot): Promise<void> {
  const shards = await engine.cluster.shards()
  for (const [index, shard] of shards.entries()) {
    const isHere = shards.length === 1 ? 'true' : portion(index, shards.length)
    for (const where of snapshot.portions) {
      await shard.run(
        `INSERT INTO post_view_visitors (${READER_COLUMNS})
         SELECT day, post_uuid, slice, visitor, ${snapshot.epoch}, assumeNotNull(owner)
         FROM ${ownersOf(engine, snapshot, `${where} AND ${isHere}`)}
         WHERE ${UNLISTED(snapshot.open)}
         SETTINGS min_insert_block_size_rows = ${READERS_A_PART}`,
      )
    }
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
  return daysInGroups(rows)
}
