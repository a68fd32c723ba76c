/** The internal API's reads: plain SQL over the counters. */

import { DIMENSION_NAMES } from '@postviews/client/src/figures.ts'
import type { CountingSettings } from '../counting-settings.ts'
import { addDays, type Day, daysFrom } from '../days.ts'
import { type ChosenFigures, DETAILS, isOfCounted, NO_VIEWS, toFigures, type Who } from '../figures.ts'
import { daysOf, daysOfPosts, periodOf } from '../read-days.ts'
import type { DayFigures, Reads, Totals } from '../store.ts'
import { readDays } from './breakdown-reads.ts'
import { KNOWN_VIEWS, sumOfKnown, TOTAL_COLUMNS } from './figure-columns.ts'
import { ownHosts } from './own-hosts.ts'
import { type Counted, monotonicMs } from './ranking-cache.ts'
import type { Rankings } from './rankings.ts'
import { figure, placeholders, type SqlEngine, type SqlRow } from './sql.ts'

const TOP_DEFAULTS = { sort: 'views', order: 'desc', offset: 0, maxAgeMs: 0 } as const

export function createReads(
  { reader, fromTime, settings }: Pick<SqlEngine, 'reader' | 'fromTime' | 'settings'>,
  rankings: Rankings,
): Reads {
  const iso = (time: unknown): string | null =>
    time === null || time === undefined
      ? null
      : new Date(fromTime(time) * 1_000).toISOString().replace('.000Z', 'Z')

  const figures = (row: SqlRow, who: Who): ChosenFigures =>
    toFigures(
      {
        views: Number(row['views']),
        detailedViews: figure(row['detailed_views']),
        detailOf: name => figure(row[name]),
      },
      who,
      settings,
    )

  const totals = (row: SqlRow | undefined, who: Who): Totals => ({
    ...(row === undefined || row['views'] === null ? NO_VIEWS : figures(row, who)),
    first_viewed_at: isOfCounted(who, settings) ? iso(row?.['first_viewed_at']) : null,
    last_viewed_at: isOfCounted(who, settings) ? iso(row?.['last_viewed_at']) : null,
    ...(row?.['unknown_until'] ? { details_since: addDays(String(row['unknown_until']), 1) } : {}),
  })

  /** `detailed_views` is null where the details of the day are not known. */
  const dayFigures = (row: SqlRow, who: Who): DayFigures => ({
    date: row['date'] as Day,
    ...figures(row, who),
  })

  return {
    // Views are counted with their batch.
    asOf: async nowMs => nowMs,

    async postTotals(posts, who) {
      if (posts.length === 0) return []
      const rows = await reader.all(
        `SELECT post_uuid, ${TOTAL_COLUMNS.join(', ')}, unknown_until
         FROM post_view_totals
         WHERE post_uuid IN (${placeholders(posts.length)})`,
        posts,
      )
      const found = new Map(rows.map(row => [row['post_uuid'], row]))
      return posts.map(post => ({ post_uuid: post, ...totals(found.get(post), who) }))
    },

    async postDays(posts, from, to, who) {
      const figures = new Map<string, DayFigures[]>(posts.map(post => [post, []]))
      if (posts.length === 0) return figures
      // The days are named one by one, so that each is looked up by the key: rows are stored by day, not by post.
      const days = daysFrom(from, to)
      const rows = await reader.all(
        `SELECT post_uuid, date, view_count AS views, ${KNOWN_VIEWS} AS detailed_views, ${DETAILS.join(', ')}
         FROM post_view_aggregates
         WHERE post_uuid IN (${placeholders(posts.length)}) AND date IN (${placeholders(days.length)})
         ORDER BY date`,
        [...posts, ...days],
      )
      for (const row of rows) figures.get(String(row['post_uuid']))?.push(dayFigures(row, who))
      return figures
    },

    async siteTotals(who) {
      const [row] = await reader.all(
        `SELECT SUM(view_count) AS views,
                SUM(${KNOWN_VIEWS}) AS detailed_views,
                ${DETAILS.map(sumOfKnown).join(', ')},
                MIN(first_viewed_at) AS first_viewed_at, MAX(last_viewed_at) AS last_viewed_at,
                MAX(CASE WHEN unique_views IS NULL THEN date END) AS unknown_until
         FROM site_view_aggregates`,
      )
      return totals(row, who)
    },

    async siteDays(from, to, who) {
      const rows = await reader.all(
        `SELECT date, view_count AS views, ${KNOWN_VIEWS} AS detailed_views, ${DETAILS.join(', ')}
         FROM site_view_aggregates
         WHERE date BETWEEN ? AND ?
         ORDER BY date`,
        [from, to],
      )
      return rows.map(row => dayFigures(row, who))
    },

    topPosts: ({ who, ...question }) =>
      rankings.page({
        ...TOP_DEFAULTS,
        ...question,
        counted: countedOf(who, settings),
        askedMs: monotonicMs(),
      }),

    risingPosts: ({ who, maxAgeMs = 0, ...question }) =>
      rankings.rising({ ...question, counted: countedOf(who, settings), askedMs: monotonicMs(), maxAgeMs }),

    ownHosts: () => ownHosts(reader),

    dimensions: DIMENSION_NAMES,
    breakdown: (name, post, from, to) =>
      periodOf(readDays(reader, { name, posts: post === null ? null : [post], from, to })),
    breakdownDays: (name, post, from, to, isAsked) =>
      daysOf(readDays(reader, { name, posts: post === null ? null : [post], from, to }), isAsked),

    breakdownDaysOfPosts: (name, posts, from, to, isAsked) =>
      daysOfPosts(posts, readDays(reader, { name, posts, from, to }), isAsked),

    async progress() {
      const [row] = await reader.all(
        'SELECT last_committed_at, last_viewed_at FROM post_view_progress WHERE id = 1',
      )
      return {
        lastCommittedAt: figure(row?.['last_committed_at']),
        lastViewedAt: figure(row?.['last_viewed_at']),
      }
    },

    async minutes(from) {
      const rows = await reader.all(
        `SELECT minute, view_count
         FROM site_view_minutes
         WHERE minute >= ?
         ORDER BY minute`,
        [from - (from % 60)],
      )
      return rows.map(row => ({
        minute: new Date(Number(row['minute']) * 1_000).toISOString().replace('.000Z', 'Z'),
        views: Number(row['view_count']),
      }))
    },
  }
}

/** With `BOTS=exclude` the stored views are people's, and bots come on top of them. */
function countedOf(who: Who, settings: CountingSettings): Counted {
  if (isOfCounted(who, settings)) return 'views'
  if (who === 'bots') return 'bots'
  return who === 'people' ? 'views - bots' : 'views + bots'
}
