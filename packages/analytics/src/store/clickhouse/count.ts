/** How figures are counted, as SQL: from the rows of a day, and from the bases that stand for removed ones. */

import { Calendar } from '../calendar.ts'
import type { Day } from '../days.ts'
import { OF_COUNTED, SUMMED, SUMMED_OF_COUNTED, type SummedName } from '../figures.ts'
import { NO_HOUR } from './row.ts'
import { quoted, SITE } from './sql.ts'
import type { Engine } from './state.ts'

const HOUR_SECONDS = 3_600
/** A time that is sent in an event is at most a day ahead of the view's; an AMQP timestamp may be years ahead. */
const AHEAD_SECONDS = 86_400
/** A day counted in another zone is at most this far off. */
const OTHER_ZONE_SECONDS = 26 * HOUR_SECONDS

/** The columns that count only days whose details are known. */
export const KNOWN = ['detailed_views', ...OF_COUNTED]

/** The figures of a post and day, in the order of the columns that every table of figures has. */
export const FIGURES = ['views', ...KNOWN, 'first_viewed_at', 'last_viewed_at', 'unknown_until'].join(', ')

export const NOTHING = ['views', ...KNOWN]
  .map(() => 'toUInt64(0)')
  .concat('NULL', 'NULL', 'toDate(0)')
  .join(', ')

/** As SQL: whether a row of figures is not empty. */
export const SAYS = `(${['views', ...SUMMED_OF_COUNTED.filter(name => SUMMED[name].isOfExcluded)].join(' + ')} > 0 OR unknown_until > toDate(0))`

/** Sums of days' figures, under the same names. */
export const SUMS = `sum(f.views) AS views, ${KNOWN.map(name => `sum(f.${name}) AS ${name}`).join(', ')},
  min(f.first_viewed_at) AS first_viewed_at, max(f.last_viewed_at) AS last_viewed_at, max(f.unknown_until) AS unknown_until`

/** Sums of posts' figures of one day: a figure that is unknown of one post is unknown of the site. */
export const SUMS_OF_DAY = `sum(f.views) AS views, max(f.unknown_until) AS unknown_until, unknown_until > toDate(0) AS is_unknown,
  ${KNOWN.map(name => `if(is_unknown, 0, sum(f.${name})) AS ${name}`).join(', ')},
  min(f.first_viewed_at) AS first_viewed_at, max(f.last_viewed_at) AS last_viewed_at`

/** The columns of `post_view_bases`. */
export const OF_BASE = `day, post, cutoff, views, ${OF_COUNTED.join(', ')}, first_viewed_at, last_viewed_at, unknown_until, readers, dimensions, values, value_views, value_bots`

/** As SQL, for each figure that is a sum over rows. */
export function eachSummed(sqlOf: (name: SummedName) => string): string {
  return SUMMED_OF_COUNTED.map(sqlOf).join(', ')
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

/**
 * `SELECT post, day, figures`, counted anew.
 *
 * @param also as SQL: `SELECT post` of posts that get a row for each day even if they have no views
 */
export function figuresOf(sources: Sources, days: readonly Day[], posts = 'true', also?: string): string {
  const noSums = eachSummed(() => 'toUInt64(0)')
  const parts = [
    rowsOf(
      sources,
      days,
      posts,
      `post, day, toUInt64(counts = 1) AS n, toDate(0) AS unknown, ${READER} AS reader, toUInt64(0) AS known,
       ${eachSummed(name => `toUInt64(${addsTo(name)}) AS adds_${name}`)},
       if(counts = 1, viewed_at, NULL) AS first_at, if(counts = 1, viewed_at, NULL) AS last_at, counts = 1 AS reads`,
    ),
  ]
  if (hasBases(sources, days)) {
    const bases = basesOf(days, `post != '${SITE}' AND ${posts}`)
    parts.push(
      `SELECT post, day, views, unknown_until, toUInt64(0), ${OF_COUNTED.join(', ')}, first_viewed_at, last_viewed_at, false FROM (${bases})`,
      `SELECT post, day, toUInt64(0), toDate(0), reader, toUInt64(0), ${noSums}, NULL, NULL, true FROM (${bases}) ARRAY JOIN readers AS reader`,
    )
  }
  if (also !== undefined) {
    parts.push(
      `SELECT post, day, toUInt64(0), toDate(0), toUInt64(0), toUInt64(0), ${noSums}, NULL, NULL, false FROM (${eachDay(also, days)})`,
    )
  }
  return `SELECT post, day, sum(n) AS views, max(unknown) AS unknown_until, unknown_until > toDate(0) AS is_unknown,
      if(is_unknown, 0, views) AS detailed_views,
      if(is_unknown, 0, uniqExactIf(reader, reads) + sum(known)) AS unique_views,
      ${eachSummed(name => `if(is_unknown, 0, sum(adds_${name})) AS ${name}`)}, min(first_at) AS first_viewed_at, max(last_at) AS last_viewed_at
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
