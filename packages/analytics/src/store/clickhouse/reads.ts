/** The internal API's reads: sums over what each batch, or all batches of a day, have added. */

import type { Day } from '../calendar.ts'
import { NO_OWN_HOSTS, recordedOwnHosts, referrerOf } from '../own-hosts.ts'
import type { DayFigures, Figures, Reads, Totals } from '../store.ts'
import type { Cluster, Row } from './connection.ts'
import { HeldAnswers } from './held-answers.ts'
import { recordedLists } from './own-hosts.ts'

const SUMS = `sum(views) AS all_views, sum(unique_views) AS all_unique, sum(logged_in) AS all_logged_in,
  sum(bots) AS all_bots`
const TIMES =
  'toUnixTimestamp(min(first_viewed_at)) AS first_time, toUnixTimestamp(max(last_viewed_at)) AS last_time'
// A row that was taken back is all zeros.
const IS_THERE = 'all_views != 0 OR all_bots != 0'

export function createReads(cluster: Cluster): Reads {
  const all = (sql: string, params?: Record<string, string | number | readonly string[]>) =>
    cluster.during(() => cluster.all(sql, params))
  const from = (kind: string, where = 'true') =>
    cluster.from(`SELECT * FROM post_view_sums WHERE kind = '${kind}' AND ${where}`)

  const held = new HeldAnswers()
  const topPosts = async (period: { from: Day; to: Day } | null, limit: number, offset: number) => {
    const readMs = performance.now()
    const where = period === null ? 'true' : within(period.from, period.to)
    const posts = `SELECT post_uuid, ${SUMS} FROM ${from('post', where)} GROUP BY post_uuid HAVING all_views > 0`
    const rows = await all(
      `SELECT post_uuid, all_views, all_unique, count() OVER () AS posts FROM (${posts})
       ORDER BY all_views DESC, post_uuid
       LIMIT {limit:UInt32} OFFSET {offset:UInt32}`,
      { limit, offset },
    )
    const [counted] = rows.length > 0 ? rows : await all(`SELECT count() AS posts FROM (${posts})`)
    return {
      readMs,
      total: Number(counted!['posts']),
      posts: rows.map(row => ({
        post_uuid: String(row['post_uuid']),
        views: Number(row['all_views']),
        unique_views: Number(row['all_unique']),
      })),
    }
  }

  return {
    async postTotals(posts) {
      if (posts.length === 0) return []
      const rows = await all(
        `SELECT post_uuid, ${SUMS}, ${TIMES} FROM ${from('post', `post_uuid IN (${quoted(posts)})`)} GROUP BY post_uuid`,
      )
      const found = new Map(rows.map(row => [row['post_uuid'], row]))
      return posts.map(post => ({ post_uuid: post, ...totals(found.get(post)) }))
    },

    async postDays(posts, first, last) {
      const days = new Map<string, DayFigures[]>(posts.map(post => [post, []]))
      if (posts.length === 0) return days
      const rows = await all(
        `SELECT post_uuid, day, ${SUMS}
         FROM ${from('post', `post_uuid IN (${quoted(posts)}) AND ${within(first, last)}`)}
         GROUP BY post_uuid, day
         HAVING ${IS_THERE}
         ORDER BY post_uuid, day`,
      )
      for (const row of rows) days.get(String(row['post_uuid']))?.push(dayFigures(row))
      return days
    },

    async siteTotals() {
      const [row] = await all(`SELECT ${SUMS}, ${TIMES} FROM ${from('site')}`)
      return totals(row)
    },

    async siteDays(first, last) {
      const rows = await all(
        `SELECT day, ${SUMS} FROM ${from('site', within(first, last))}
         GROUP BY day
         HAVING ${IS_THERE}
         ORDER BY day`,
      )
      return rows.map(dayFigures)
    },

    async topPosts(period, limit, offset, maxAgeMs = 0) {
      const askedMs = performance.now()
      const question = [period?.from, period?.to, limit, offset].join(' ')
      const { readMs, ...page } = await held.get(question, maxAgeMs, () => topPosts(period, limit, offset))
      return { ageMs: Math.max(0, askedMs - readMs), ...page }
    },

    async referrers(post, first, last, limit, offset = 0) {
      const source =
        post === null
          ? from('site_referrer', within(first, last))
          : from('referrer', `post_uuid = ${quoted([post])} AND ${within(first, last)}`)
      const [rows, [whole], [holds]] = await Promise.all([
        all(
          `SELECT host, sum(views) AS all_views FROM ${source}
           GROUP BY host
           HAVING all_views > 0
           ORDER BY all_views DESC, host
           LIMIT {limit:UInt32} OFFSET {offset:UInt32}`,
          { limit, offset },
        ),
        all(`SELECT sum(views) AS all_views FROM ${source}`),
        cluster.during(() => recordedLists(cluster)),
      ])
      const own = recordedOwnHosts(holds ?? NO_OWN_HOSTS)
      const referrers = rows.map(row => referrerOf(own, String(row['host']), Number(row['all_views'])))
      const listed = referrers.reduce((sum, { views }) => sum + views, 0)
      // Read beside the list, so a batch may have come between the two.
      return { referrers, other: { views: Math.max(0, Number(whole!['all_views']) - listed) } }
    },

    async progress() {
      const latest = `SELECT * FROM post_view_figures
        WHERE kind = 'batch' AND post_uuid = '' AND day = '1970-01-01' AND host = '' AND minute = 0
        ORDER BY UUIDToNum(batch) DESC LIMIT 1`
      const [row] = await all(
        `SELECT toUnixTimestamp(committed_at) AS committed, toUnixTimestamp(last_viewed_at) AS viewed
         FROM ${cluster.from(latest)}
         ORDER BY UUIDToNum(batch) DESC
         LIMIT 1`,
      )
      return {
        lastCommittedAt: row === undefined ? null : Number(row['committed']),
        lastViewedAt: row === undefined ? null : Number(row['viewed']),
      }
    },

    async minutes(since) {
      const rows = await all(
        `SELECT toUnixTimestamp(minute) AS time, sum(views) AS all_views
         FROM ${from('minute', `minute >= toDateTime(${Math.floor(since - (since % 60))}, 'UTC')`)}
         GROUP BY minute
         HAVING all_views > 0
         ORDER BY minute`,
      )
      return rows.map(row => ({ minute: iso(row['time'])!, views: Number(row['all_views']) }))
    },
  }
}

/** ClickHouse's days begin in 1970 and end in 2149; what was counted is among them. */
function within(first: Day, last: Day): string {
  const [from, to] = [first < '1970-01-01' ? '1970-01-01' : first, last > '2149-06-06' ? '2149-06-06' : last]
  return from > to ? 'false' : `day BETWEEN '${from}' AND '${to}'`
}

/** Texts as SQL. They go into subqueries that other servers run, where parameters do not reach. */
export function quoted(texts: readonly string[]): string {
  return texts.map(text => `'${text.replace(/[\\']/g, '\\$&')}'`).join(', ')
}

function iso(time: unknown): string | null {
  return time === null || time === undefined
    ? null
    : new Date(Number(time) * 1_000).toISOString().replace('.000Z', 'Z')
}

function totals(row: Row | undefined): Totals {
  return {
    ...figures(row ?? {}),
    first_viewed_at: iso(row?.['first_time']),
    last_viewed_at: iso(row?.['last_time']),
  }
}

function figures(row: Row): Figures {
  const views = Number(row['all_views'] ?? 0)
  const loggedIn = Number(row['all_logged_in'] ?? 0)
  return {
    views,
    unique_views: Number(row['all_unique'] ?? 0),
    logged_in: loggedIn,
    anonymous: views - loggedIn,
    bots: Number(row['all_bots'] ?? 0),
  }
}

function dayFigures(row: Row): DayFigures {
  return { date: String(row['day']), ...figures(row) }
}
