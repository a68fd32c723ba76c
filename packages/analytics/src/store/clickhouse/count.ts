/** How figures are counted, as SQL: from the rows of a day, and from the bases that stand for removed ones. */

import { Calendar } from '../calendar.ts'
import type { Day } from '../days.ts'
import { DETAILS, SUMMED, SUMMED_NAMES, type SummedName, UNIQUE_NAMES, type UniqueName } from '../figures.ts'
import { NO_HOUR, UNEXPLAINED } from './row.ts'
import { quoted, SITE } from './sql.ts'
import type { Engine } from './state.ts'

const HOUR_SECONDS = 3_600
/** A time that is sent in an event is at most a day ahead of the view's; an AMQP timestamp may be years ahead. */
const AHEAD_SECONDS = 86_400
/** A day counted in another zone is at most this far off. */
const OTHER_ZONE_SECONDS = 26 * HOUR_SECONDS

/** The columns that count only days whose details are known. */
export const KNOWN = ['detailed_views', ...DETAILS]

/** The figures of a post and day, in the order of the columns that every table of figures has. */
export const FIGURES = ['views', ...KNOWN, 'first_viewed_at', 'last_viewed_at', 'unknown_until'].join(', ')

export const NOTHING = ['views', ...KNOWN]
  .map(() => 'toUInt64(0)')
  .concat('NULL', 'NULL', 'toDate(0)')
  .join(', ')

/** As SQL: whether a row of figures is not empty. What is kept of bots that are left out is kept of the views in `bots`. */
export const SAYS = '(views + bots > 0 OR unknown_until > toDate(0))'

/** As SQL: a sum over rows, or over those `where`. Null: one of them does not know the number, which was not counted then. */
export function sumOf(column: string, where = 'true'): string {
  return `if(countIf(isNull(${column}) AND ${where}) > 0, NULL, ifNull(sumIf(${column}, ${where}), 0))`
}

/** Sums of days' figures, under the same names. */
export const SUMS = `sum(f.views) AS views, sum(f.detailed_views) AS detailed_views, ${DETAILS.map(name => `${sumOf(`f.${name}`)} AS ${name}`).join(', ')},
  min(f.first_viewed_at) AS first_viewed_at, max(f.last_viewed_at) AS last_viewed_at, max(f.unknown_until) AS unknown_until`

/** Sums of posts' figures of one day: a figure that is unknown of one post is unknown of the site. */
export const SUMS_OF_DAY = `sum(f.views) AS views, max(f.unknown_until) AS unknown_until, unknown_until > toDate(0) AS is_unknown,
  ${KNOWN.map(name => `if(is_unknown, 0, ${sumOf(`f.${name}`)}) AS ${name}`).join(', ')},
  min(f.first_viewed_at) AS first_viewed_at, max(f.last_viewed_at) AS last_viewed_at`

/** The columns of `post_view_bases`. */
export const OF_BASE = `day, post, cutoff, views, ${DETAILS.join(', ')}, first_viewed_at, last_viewed_at, unknown_until, readers, reader_kinds, dimensions, values, value_views, value_bots`

/** As SQL, for each figure that is a sum over rows. */
export function eachSummed(sqlOf: (name: SummedName) => string): string {
  return SUMMED_NAMES.map(sqlOf).join(', ')
}

/** As SQL, for each number of readers. */
export function eachUnique(sqlOf: (name: UniqueName) => string): string {
  return UNIQUE_NAMES.map(sqlOf).join(', ')
}

/** As SQL: what a row adds to a figure. */
export function addsTo(name: SummedName): string {
  const { sql, isOfExcluded } = SUMMED[name]
  return isOfExcluded ? sql : `if(counts = 1, ${sql}, 0)`
}

/** What a shard is counted from. */
export interface Sources {
  calendar: Engine['calendar']
  /** For days with views from a clock that was ahead: the later partitions with their rows. */
  ahead: ReadonlyMap<Day, readonly number[]>
  /** The last day with rows that another time zone put there; null without any. */
  otherZonesTo: Day | null
  /** The last day that has a base; null without any. */
  basedTo: Day | null
  /** The last settled day; null without any. */
  closed: Day | null
  /** Rows received before `cutoff` go into bases, and are all there once `based` is the same; Unix seconds. */
  cutoff: number
  based: number
}

/** As SQL: the partitions that rows of days may be in. */
export function hoursOf({ calendar, ahead, otherZonesTo }: Sources, days: readonly Day[]): string {
  const others = new Set([NO_HOUR, ...days.flatMap(day => ahead.get(day) ?? [])])
  const ranges = days.map(day => {
    const { start, end } = calendar.bounds(day)
    const around = otherZonesTo !== null && day <= otherZonesTo ? OTHER_ZONE_SECONDS : 0
    const first = Math.max(0, Math.floor((start - around) / HOUR_SECONDS))
    const later = around > 0 ? around + AHEAD_SECONDS : 0
    return `hour BETWEEN ${first} AND ${Math.floor((end - 1 + later) / HOUR_SECONDS)}`
  })
  return `(${ranges.join(' OR ')} OR hour IN (${[...others].join(', ')}))`
}

/**
 * Rows of days, one for each view, except those that a base stands for. `posts`: as SQL, which of them. `columns`: of `r`.
 */
export function rowsOf(
  sources: Sources,
  days: readonly Day[],
  posts: string,
  columns: string,
  of: 'post' | 'site' = 'post',
): string {
  const rows = `FROM post_view_rows FINAL WHERE ${hoursOf(sources, days)} AND ${dayIn(days)} AND ${posts}`
  if (!hasBases(sources, days)) return `SELECT ${columns} FROM (SELECT * ${rows}) AS r`
  const [post, place] =
    of === 'site'
      ? [`post = '${SITE}'`, 'r.day = b.based_day']
      : ['true', 'r.post = b.based AND r.day = b.based_day']
  return `SELECT ${columns} FROM (SELECT * ${rows}) AS r
    LEFT ANY JOIN (SELECT post AS based, day AS based_day, cutoff FROM post_view_bases FINAL WHERE ${dayIn(days)} AND ${post}) AS b
      ON ${place}
    WHERE r.received_at >= toDateTime(b.cutoff, 'UTC')`
}

export function dayIn(days: readonly Day[]): string {
  return `day IN (${quoted(days)})`
}

/** What stands for the removed rows of days. */
export function basesOf(days: readonly Day[], posts: string): string {
  return `SELECT * FROM post_view_bases FINAL WHERE ${dayIn(days)} AND ${posts}`
}

export function hasBases({ basedTo }: Sources, days: readonly Day[]): boolean {
  return basedTo !== null && days.some(day => day <= basedTo)
}

/** A row's reader within its window, in one number. */
export const READER = 'bitXor(visitor, intHash64(slice))'

/** As what a reader was seen: a bot may be among the readers of the views that count, or left out of them. */
export const PERSON_KIND = 1
export const LEFT_OUT_BOT_KIND = 2
export const BOT_KIND = 3

/** As SQL: as what a row's reader was seen; 0: the row is used nowhere. */
export const KIND = `toUInt8(if(counts = ${UNEXPLAINED}, 0, 2 * bot + counts))`

/** As SQL: how many readers some rows have, each once. @param where which of the rows */
export function uniquesOf(where = 'true'): Record<UniqueName, string> {
  const readers = (...kinds: number[]) => `uniqExactIf(reader, kind IN (${kinds.join(', ')}) AND ${where})`
  const counted = readers(PERSON_KIND, BOT_KIND)
  const bots = readers(LEFT_OUT_BOT_KIND, BOT_KIND)
  // Where bots count, `counted` are all readers and these are the people. Where they are left out, it is the other way round.
  const others = readers(PERSON_KIND, LEFT_OUT_BOT_KIND)
  const botsAlone = `abs(${counted} - ${others})`
  return {
    unique_views: counted,
    bot_unique_views: bots,
    shared_unique_views: `(${bots} - ${botsAlone})`,
  }
}

/** As SQL: each reader whom a base keeps, with its kind. */
export const EACH_READER = 'ARRAY JOIN readers AS reader, reader_kinds AS kind'

/**
 * `SELECT post, day, figures`, counted anew.
 *
 * @param also as SQL: `SELECT post` of posts that get a row for each day even if they have no views
 */
export function figuresOf(sources: Sources, days: readonly Day[], posts = 'true', also?: string): string {
  const noDetails = DETAILS.map(() => 'toUInt64(0)').join(', ')
  const parts = [
    rowsOf(
      sources,
      days,
      posts,
      `post, day, toUInt64(counts = 1) AS n, toDate(0) AS unknown, ${READER} AS reader, ${KIND} AS kind,
       ${eachUnique(name => `toUInt64(0) AS known_${name}`)}, ${eachSummed(name => `toUInt64(${addsTo(name)}) AS adds_${name}`)},
       if(counts = 1, viewed_at, NULL) AS first_at, if(counts = 1, viewed_at, NULL) AS last_at`,
    ),
  ]
  if (hasBases(sources, days)) {
    const bases = basesOf(days, `post != '${SITE}' AND ${posts}`)
    parts.push(
      `SELECT post, day, views, unknown_until, toUInt64(0), toUInt8(0), ${DETAILS.join(', ')}, first_viewed_at, last_viewed_at FROM (${bases})`,
      `SELECT post, day, toUInt64(0), toDate(0), reader, kind, ${noDetails}, NULL, NULL FROM (${bases}) ${EACH_READER}`,
    )
  }
  if (also !== undefined) {
    parts.push(
      `SELECT post, day, toUInt64(0), toDate(0), toUInt64(0), toUInt8(0), ${noDetails}, NULL, NULL FROM (${eachDay(also, days)})`,
    )
  }
  const uniques = uniquesOf()
  return `SELECT post, day, sum(n) AS views, max(unknown) AS unknown_until, unknown_until > toDate(0) AS is_unknown,
      if(is_unknown, 0, views) AS detailed_views,
      ${eachUnique(name => `if(is_unknown, 0, toUInt64(${uniques[name]}) + ${sumOf(`known_${name}`)}) AS ${name}`)},
      ${eachSummed(name => `if(is_unknown, 0, ${sumOf(`adds_${name}`)}) AS ${name}`)}, min(first_at) AS first_viewed_at, max(last_at) AS last_viewed_at
    FROM (${parts.join(' UNION ALL ')})
    GROUP BY post, day`
}

/** For `postviews schema`: a day's batch, and how it is counted. */
export function statements(): string[] {
  const calendar = new Calendar('UTC', 24)
  const nothing = { ahead: new Map(), otherZonesTo: null, basedTo: null, closed: null, cutoff: 0, based: 0 }
  const figures = figuresOf({ calendar, ...nothing }, ['2026-11-21'])
  return [
    `INSERT INTO post_view_days (post, day, ${FIGURES}, stamp)\nSELECT post, day, ${FIGURES}, 1 FROM (${figures})`,
    `INSERT INTO post_view_post_totals (post, ${FIGURES}, stamp)\nSELECT post, ${SUMS}, 1 FROM (SELECT * FROM post_view_days FINAL) AS f GROUP BY post`,
  ]
}

/** As SQL: each row of a SELECT with each of the days. */
export function eachDay(rows: string, days: readonly Day[]): string {
  return `SELECT *, day FROM (${rows}) ARRAY JOIN [${days.map(day => `toDate('${day}')`).join(', ')}] AS day`
}

/** As SQL: posts by their keys. */
export function postIn(keys: readonly string[]): string {
  return `post IN (${quoted(keys)})`
}
