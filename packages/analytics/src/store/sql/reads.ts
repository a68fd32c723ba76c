/** The internal API's reads: plain SQL over the counters. */

import { DIMENSION_NAMES } from '@postviews/client/src/figures.ts'
import { type CountedBy, type PeriodOfBots, periodsOf, settingsOn } from '../bots-before.ts'
import { addDays, type Day, daysFrom, type Period } from '../days.ts'
import { DETAILS, isOfCounted, NO_VIEWS, type Stored, sumOfPeriods, toFigures, type Who } from '../figures.ts'
import { asNow, daysOf, daysOfPosts, periodOf } from '../read-days.ts'
import type { DayFigures, Reads, Totals } from '../store.ts'
import { readDays } from './breakdown-reads.ts'
import { KNOWN_VIEWS, sumOfKnown, TOTAL_COLUMNS } from './figure-columns.ts'
import { ownHosts } from './own-hosts.ts'
import { type Counted, monotonicMs } from './ranking-cache.ts'
import type { Rankings } from './rankings.ts'
import {
  figure,
  placeholders,
  SELECT_STATE,
  type SqlEngine,
  type SqlRow,
  type SqlValue,
  toState,
} from './sql.ts'
import { selectTotals } from './totals.ts'

function toStored(row: SqlRow): Stored {
  return {
    views: Number(row['views']),
    detailedViews: figure(row['detailed_views']),
    detailOf: name => figure(row[name]),
  }
}

const TOP_DEFAULTS = { sort: 'views', order: 'desc', offset: 0, maxAgeMs: 0 } as const

export function createReads(
  {
    reader,
    fromTime,
    settings,
    daysOfPosts: fromDays,
  }: Pick<SqlEngine, 'reader' | 'fromTime' | 'settings' | 'daysOfPosts'>,
  rankings: Rankings,
): Reads {
  const iso = (time: unknown): string | null =>
    time === null || time === undefined
      ? null
      : new Date(fromTime(time) * 1_000).toISOString().replace('.000Z', 'Z')

  /** Which bots are among the stored views of each day matters only if some views are chosen. */
  async function countedBy(who: Who): Promise<CountedBy> {
    if (who === undefined) return { settings, botsBefore: [] }
    return toState((await reader.all(SELECT_STATE))[0]!)
  }

  /** All time as a period: the totals of posts do not tell days of another `BOTS` apart. Null: there are no days. */
  async function allDays(): Promise<Period | null> {
    const [row] = await reader.all('SELECT MIN(date) AS first, MAX(date) AS last FROM site_view_aggregates')
    return row!['first'] === null ? null : { from: String(row!['first']), to: String(row!['last']) }
  }

  /** @param periods what each period between two changes of `BOTS` adds, if there was any change */
  const totals = (
    row: SqlRow | undefined,
    who: Who,
    by: CountedBy,
    periods: readonly { row: SqlRow; bots: PeriodOfBots['bots'] }[],
  ): Totals => {
    const hasTimes = by.botsBefore.length === 0 && isOfCounted(who, by.settings)
    const parts = periods.map(({ row, bots }) => ({ stored: toStored(row), bots }))
    const stored = parts.length > 0 ? sumOfPeriods(parts, by.settings.bots) : row && toStored(row)
    return {
      ...(stored === undefined || row?.['views'] === null ? NO_VIEWS : toFigures(stored, who, by.settings)),
      first_viewed_at: hasTimes ? iso(row?.['first_viewed_at']) : null,
      last_viewed_at: hasTimes ? iso(row?.['last_viewed_at']) : null,
      ...(row?.['unknown_until'] ? { details_since: addDays(String(row['unknown_until']), 1) } : {}),
    }
  }

  /** `detailed_views` is null where the details of the day are not known. */
  const dayFigures = (row: SqlRow, who: Who, by: CountedBy): DayFigures => ({
    date: row['date'] as Day,
    ...toFigures(toStored(row), who, settingsOn(by, String(row['date']))),
  })

  /** The rows of each period between two changes of `BOTS`; none if there was no change. */
  async function ofPeriods(
    by: CountedBy,
    select: (where: string, values: readonly SqlValue[]) => Promise<SqlRow[]>,
  ): Promise<{ row: SqlRow; bots: PeriodOfBots['bots'] }[]> {
    if (by.botsBefore.length === 0) return []
    const read = periodsOf(by).map(async ({ bots, from, before }) => {
      const rows = await select('date >= ? AND date < ?', [from ?? '1000-01-01', before ?? '9999-12-31'])
      return rows.map(row => ({ row, bots }))
    })
    return (await Promise.all(read)).flat()
  }

  return {
    // Views are counted with their batch.
    asOf: async nowMs => nowMs,

    async postTotals(posts, who) {
      if (posts.length === 0) return []
      const by = await countedBy(who)
      const rows = await reader.all(
        `SELECT post_uuid, ${TOTAL_COLUMNS.join(', ')}, unknown_until
         FROM post_view_totals
         WHERE post_uuid IN (${placeholders(posts.length)})`,
        posts,
      )
      const found = new Map(rows.map(row => [row['post_uuid'], row]))
      const inPosts = `post_uuid IN (${placeholders(posts.length)})`
      const periods = await ofPeriods(by, (where, values) =>
        reader.all(selectTotals(`${inPosts} AND ${where}`, fromDays), [...posts, ...values]),
      )
      const ofPost = Map.groupBy(periods, ({ row }) => row['post_uuid'])
      return posts.map(post => ({
        post_uuid: post,
        ...totals(found.get(post), who, by, ofPost.get(post) ?? []),
      }))
    },

    async postDays(posts, from, to, who) {
      const figures = new Map<string, DayFigures[]>(posts.map(post => [post, []]))
      if (posts.length === 0) return figures
      const by = await countedBy(who)
      // The days are named one by one, so that each is looked up by the key: rows are stored by day, not by post.
      const days = daysFrom(from, to)
      const rows = await reader.all(
        `SELECT post_uuid, date, view_count AS views, ${KNOWN_VIEWS} AS detailed_views, ${DETAILS.join(', ')}
         FROM post_view_aggregates
         WHERE post_uuid IN (${placeholders(posts.length)}) AND date IN (${placeholders(days.length)})
         ORDER BY date`,
        [...posts, ...days],
      )
      for (const row of rows) figures.get(String(row['post_uuid']))?.push(dayFigures(row, who, by))
      return figures
    },

    async siteTotals(who) {
      const select = (where: string, values: readonly SqlValue[]) =>
        reader.all(
          `SELECT SUM(view_count) AS views,
                  SUM(${KNOWN_VIEWS}) AS detailed_views,
                  ${DETAILS.map(sumOfKnown).join(', ')},
                  MIN(first_viewed_at) AS first_viewed_at, MAX(last_viewed_at) AS last_viewed_at,
                  MAX(CASE WHEN unique_views IS NULL THEN date END) AS unknown_until
           FROM site_view_aggregates
           WHERE ${where}`,
          values,
        )
      const by = await countedBy(who)
      const [row] = await select('1 = 1', [])
      const periods = await ofPeriods(by, select)
      return totals(
        row,
        who,
        by,
        periods.filter(({ row }) => row['views'] !== null),
      )
    },

    async siteDays(from, to, who) {
      const by = await countedBy(who)
      const rows = await reader.all(
        `SELECT date, view_count AS views, ${KNOWN_VIEWS} AS detailed_views, ${DETAILS.join(', ')}
         FROM site_view_aggregates
         WHERE date BETWEEN ? AND ?
         ORDER BY date`,
        [from, to],
      )
      return rows.map(row => dayFigures(row, who, by))
    },

    async topPosts({ who, ...question }) {
      const askedMs = monotonicMs()
      const by = await countedBy(who)
      const period = question.period ?? (by.botsBefore.length > 0 ? await allDays() : null)
      return rankings.page({ ...TOP_DEFAULTS, ...question, period, ...countedIn(who, by), askedMs })
    },

    async risingPosts({ who, maxAgeMs = 0, ...question }) {
      const askedMs = monotonicMs()
      return rankings.rising({ ...question, ...countedIn(who, await countedBy(who)), askedMs, maxAgeMs })
    },

    ownHosts: () => ownHosts(reader),

    dimensions: DIMENSION_NAMES,
    breakdown: async (name, post, from, to, who) =>
      periodOf(
        asNow(
          readDays(reader, { name, posts: post === null ? null : [post], from, to }),
          await countedBy(who),
        ),
      ),
    breakdownDays: async (name, post, from, to, isAsked, who) =>
      daysOf(
        asNow(
          readDays(reader, { name, posts: post === null ? null : [post], from, to }),
          await countedBy(who),
        ),
        isAsked,
      ),
    breakdownDaysOfPosts: async (name, posts, from, to, isAsked, who) =>
      daysOfPosts(posts, asNow(readDays(reader, { name, posts, from, to }), await countedBy(who)), isAsked),

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

/** Which views a list is of, on the days of each setting. */
function countedIn(who: Who, { settings, botsBefore }: CountedBy) {
  const countedBefore = botsBefore.map(({ bots, before }) => ({ counted: countedOf(who, { bots }), before }))
  return { counted: countedOf(who, settings), countedBefore }
}

/** With `BOTS=exclude` the stored views are people's, and bots come on top of them. */
function countedOf(who: Who, settings: CountedBy['settings']): Counted {
  if (isOfCounted(who, settings)) return 'views'
  if (who === 'bots') return 'bots'
  return who === 'people' ? 'views - bots' : 'views + bots'
}
