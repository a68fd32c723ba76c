/** What a store keeps on SQLite, MariaDB or MySQL; ClickHouse has views of the same names. */

import type { Kept } from './damage.ts'

type Query = (sql: string) => Promise<Record<string, unknown>[]>

/** Everything that a batch is written to, but for its rows. */
export const SQL_COUNTERS = [
  'post_view_visitors',
  'post_view_aggregates',
  'post_view_totals',
  'post_view_referrers',
  'site_view_aggregates',
  'site_view_referrers',
  'site_view_minutes',
  'post_view_progress',
]

export function keptInSql(query: Query): Kept {
  return {
    async rows() {
      const rows = await query(
        'SELECT post_uuid, user_id, ip, user_agent, referer, logged_in FROM post_views',
      )
      return rows.map(row => ({
        postUuid: String(row['post_uuid']),
        userId: textOf(row['user_id']),
        ip: textOf(row['ip']),
        userAgent: textOf(row['user_agent']),
        referer: textOf(row['referer']),
        loggedIn: Number(row['logged_in']) === 1,
      }))
    },
    async dayKeys() {
      const keys = await query('SELECT day, secret FROM post_view_day_keys ORDER BY day')
      return Object.fromEntries(keys.map(({ day, secret }) => [String(day), String(secret)]))
    },
    async readerDays() {
      const days = await query('SELECT DISTINCT day FROM post_view_visitors ORDER BY day')
      return days.map(({ day }) => String(day))
    },
    async hosts(day) {
      const columns = 'host, view_count AS views'
      const ofPosts = await query(
        `SELECT post_uuid, ${columns} FROM post_view_referrers WHERE date = '${day}'`,
      )
      const ofSite = await query(`SELECT ${columns} FROM site_view_referrers WHERE date = '${day}'`)
      return [...ofPosts, ...ofSite].map(({ post_uuid, host, views }) => ({
        post: textOf(post_uuid),
        host: String(host),
        views: Number(views),
      }))
    },
    async rulesRelease() {
      const [recorded] = await query('SELECT rules_release FROM post_view_state')
      return String(recorded!['rules_release'])
    },
    everything: () =>
      Promise.all([...SQL_COUNTERS, 'post_views'].map(table => query(`SELECT * FROM ${table}`))),
  }
}

function textOf(value: unknown): string | null {
  return value === null || value === undefined ? null : String(value)
}
