/** The data of a store on an SQL database. ClickHouse has views with the same names. */

import { REMAINDER } from '../../packages/analytics/src/store/bounds.ts'
import { Pack, type Views } from '../../packages/analytics/src/store/pack.ts'
import type { Kept } from './damage.ts'

type Query = (sql: string) => Promise<Record<string, unknown>[]>

/** All tables that a batch writes, except for the rows. */
export const SQL_COUNTERS = [
  'post_view_visitors',
  'post_view_aggregates',
  'post_view_totals',
  'post_view_breakdowns',
  'post_view_unpacked',
  'site_view_aggregates',
  'site_view_minutes',
  'post_view_progress',
]

export function keptInSql(query: Query): Kept {
  return {
    async rows() {
      const rows = await query(
        'SELECT post_uuid, user_id, ip, user_agent, referer, utm, logged_in FROM post_views',
      )
      return rows.map(row => ({
        postUuid: String(row['post_uuid']),
        userId: textOf(row['user_id']),
        ip: textOf(row['ip']),
        userAgent: textOf(row['user_agent']),
        referer: textOf(row['referer']),
        utm: textOf(row['utm']),
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
      const packs = await query(`SELECT post_uuid, counts FROM post_view_breakdowns WHERE date = '${day}'`)
      return packs.flatMap(({ post_uuid, counts }) => {
        const { values, others } = Pack.parse(String(counts)).of('referrer')
        const hosts: [string, Views][] = [...values]
        if (others !== null) hosts.push([REMAINDER, others])
        const post = textOf(post_uuid) || null
        return hosts.map(([host, { views }]) => ({ post, host, views }))
      })
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
