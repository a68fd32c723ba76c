/** Damage to a store on ClickHouse. */

import { postKey, quoted } from '../../packages/analytics/src/store/clickhouse/sql.ts'
import type { Damage, Derived, Figures, Kept } from './damage.ts'
import { keptInSql } from './sql-kept.ts'

/** Runs one statement on a shard and returns its rows. */
type Run = (sql: string) => Promise<Record<string, unknown>[]>

/** Without this table no batch is recorded: each insert checks its settings there. */
export const CLICKHOUSE_COUNTERS = ['post_view_agreed']

const TABLES: Record<Figures['of'], string> = {
  aggregate: 'post_view_days',
  total: 'post_view_post_totals',
  referrer: 'post_view_breakdowns',
  site_aggregate: 'post_view_site_days',
  site_referrer: 'post_view_site_breakdowns',
}
const FIGURE_TABLES = Object.values(TABLES)

export async function damageClickhouse(shards: readonly Run[], damage: Damage): Promise<void> {
  const everywhere = (sql: string) => Promise.all(shards.map(run => run(sql)))
  const onFirst = (sql: string) => shards[0]!(sql)

  async function change(table: string, how: string, where: string): Promise<void> {
    const found = await everywhere(`SELECT count() AS rows FROM ${table} WHERE ${where}`)
    if (found.flat().every(({ rows }) => Number(rows) === 0))
      throw new Error(`nothing to damage: ${table} ${where}`)
    await everywhere(`ALTER TABLE ${table} ${how} WHERE ${where}`)
  }

  switch (damage.kind) {
    case 'too high':
    case 'emptied': {
      const { host, figure } = damage
      const by = damage.kind === 'too high' ? (damage.by ?? 1) : 0
      const isHosts = damage.of === 'referrer' || damage.of === 'site_referrer'
      const value = (column: string) =>
        damage.kind === 'too high' ? `${column} + ${by}` : figure === 'first_viewed_at' ? 'NULL' : '0'
      const array = figure === 'bots' ? 'value_bots' : 'value_views'
      const changed = isHosts
        ? `${array} = arrayMap((d, h, v) -> if(${isHost(host)}, ${value('v')}, v), dimensions, values, ${array})`
        : `${figure} = ${value(figure)}`
      return change(TABLES[damage.of], `UPDATE ${changed}`, whereOf(damage))
    }
    case 'missing': {
      const { host } = damage
      if (host === undefined) return change(TABLES[damage.of], 'DELETE', whereOf(damage))
      const rest = ARRAYS.map(
        array => `${array} = arrayFilter((x, d, h) -> NOT (${isHost(host)}), ${array}, dimensions, values)`,
      )
      return change(TABLES[damage.of], `UPDATE ${rest.join(', ')}`, whereOf(damage))
    }
    case 'superfluous': {
      const { of, post, day, host, views } = damage
      if (post !== undefined)
        await onFirst(`INSERT INTO post_view_names VALUES ('${postKey(post)}', ${quoted([post])})`)
      const key = [post && `'${postKey(post)}'`, day && `'${day}'`].filter(Boolean).join(', ')
      const columns = [post && 'post', day && 'day'].filter(Boolean).join(', ')
      if (host === undefined) {
        await onFirst(
          `INSERT INTO ${TABLES[of]} (${columns}, views, unique_views) VALUES (${key}, ${views}, ${of === 'aggregate' ? views : 0})`,
        )
        return
      }
      const added = [`'referrer'`, quoted([host]), String(views), '0']
      const { host: _, ...row } = damage
      const found = await everywhere(`SELECT count() AS rows FROM ${TABLES[of]} WHERE ${whereOf(row)}`)
      if (found.flat().some(({ rows }) => Number(rows) > 0)) {
        const pushed = ARRAYS.map((array, nth) => `${array} = arrayPushBack(${array}, ${added[nth]})`)
        return change(TABLES[of], `UPDATE ${pushed.join(', ')}`, whereOf(row))
      }
      await onFirst(
        `INSERT INTO ${TABLES[of]} (${columns}, ${ARRAYS.join(', ')}) VALUES (${key}, ${added.map(one => `[${one}]`).join(', ')})`,
      )
      return
    }
    case 'rows missing':
      return change('post_view_rows', 'DELETE', rowsOf(damage))
    case 'rows tampered':
      return change('post_view_rows', `UPDATE ${assignmentsOf(damage.says)}`, rowsOf(damage))
    case 'rows from before':
      return change(
        'post_view_rows',
        'UPDATE hour_of_day = NULL, utm = NULL, origin = NULL, agent = NULL, country = NULL',
        rowsOf(damage),
      )
    case 'rows uncounted': {
      const { post, ip, instead } = damage
      const from = ip === undefined ? 'ip' : quoted([ip])
      const copies = `INSERT INTO post_view_rows SELECT * REPLACE (generateUUIDv4() AS id, false AS has_id, ${from} AS ip) FROM post_view_rows FINAL WHERE ${rowsOf({ post })}`
      if (instead) throw new Error('ClickHouse counts whatever rows there are')
      await everywhere(copies)
      return
    }
    case 'readers missing':
    case 'reader superfluous':
    case 'readers left over':
      throw new Error('ClickHouse lists no readers')
    case 'day keys missing':
      return change('post_view_agreed', 'DELETE', "startsWith(name, 'key ')")
    case 'newer version':
      await onFirst(`INSERT INTO post_view_migrations (version) VALUES (${damage.migration})`)
      return
    case 'another prunes':
      await onFirst(
        `INSERT INTO post_view_agreed SELECT 'lease', max(number) + 1, '${JSON.stringify({ holder: 'another', until: damage.until })}' FROM post_view_agreed WHERE name = 'lease'`,
      )
      return
    case 'table taken away':
      await everywhere(`RENAME TABLE ${damage.table} TO taken_away`)
      return
    case 'table given back':
      await everywhere(`RENAME TABLE taken_away TO ${damage.table}`)
  }
}

const ARRAYS = ['dimensions', 'values', 'value_views', 'value_bots']

/** As SQL: whether dimension `d` and value `h` are the host, or any host. */
function isHost(host: string | undefined): string {
  return `d = 'referrer'${host === undefined ? '' : ` AND h = ${quoted([host])}`}`
}

function whereOf({ post, day, host }: Figures): string {
  const isOf = [
    post === undefined ? [] : [`post = '${postKey(post)}'`],
    day === undefined ? [] : [`day = '${day}'`],
    host === undefined ? [] : [`arrayExists((d, h) -> ${isHost(host)}, dimensions, values)`],
  ].flat()
  return isOf.join(' AND ') || 'true'
}

function rowsOf({ post, referer }: { post?: string | undefined; referer?: string | undefined }): string {
  const isOf = [
    post === undefined ? [] : [`post = '${postKey(post)}'`],
    referer === undefined ? [] : [`referer = ${quoted([referer])}`],
  ].flat()
  return isOf.join(' AND ') || 'true'
}

function assignmentsOf(says: Partial<Derived>): string {
  const { day, slice, loggedIn, bot, visitor, refererHost, hour, origin, agent, country } = says
  return [
    day === undefined ? [] : [`day = '${day}'`],
    slice === undefined ? [] : [`slice = ${slice}`],
    loggedIn === undefined ? [] : [`logged_in = ${Number(loggedIn)}`],
    bot === undefined ? [] : [`bot = ${Number(bot)}`],
    visitor === undefined ? [] : [`visitor = reinterpretAsUInt64(unhex('${visitor.slice(0, 16)}'))`],
    refererHost === undefined ? [] : [`referer_host = ${quoted([refererHost])}`],
    hour === undefined ? [] : [`hour_of_day = ${hour}`],
    origin === undefined ? [] : [`origin = ${quoted([origin])}`],
    agent === undefined ? [] : [`agent = ${quoted([agent])}`],
    country === undefined || country === null ? [] : [`country = ${quoted([country])}`],
  ]
    .flat()
    .join(', ')
}

/** The first shard answers for all, through views with the names and columns of the other engines' tables. */
export function keptInClickhouse(shards: () => Promise<readonly Run[]>): Kept {
  const onFirst = async (sql: string) => (await shards())[0]!(sql)
  const everywhere = async (sql: string) => (await Promise.all((await shards()).map(run => run(sql)))).flat()
  return {
    ...keptInSql(onFirst),
    async dayKeys() {
      const keys = await onFirst(
        `SELECT substring(name, 5) AS day, value FROM post_view_agreed WHERE startsWith(name, 'key ')
         ORDER BY name, number DESC, _block_number LIMIT 1 BY name`,
      )
      return Object.fromEntries(
        keys.filter(({ value }) => value !== '').map(({ day, value }) => [String(day), String(value)]),
      )
    },
    async hosts(day) {
      const [settled] = await onFirst(
        `SELECT count() AS days FROM post_view_site_breakdowns WHERE day = '${day}'`,
      )
      const isSettled = Number(settled!['days']) > 0
      const rows = `FROM post_view_rows FINAL WHERE day = '${day}' AND counts = 1`
      const kept = (table: string) =>
        `FROM (SELECT * FROM ${table} FINAL WHERE day = '${day}')
         ARRAY JOIN dimensions AS dimension, values AS host, value_views AS views WHERE dimension = 'referrer'`
      const ofPosts = await everywhere(
        `SELECT if(n.name = '', toString(h.post), n.name) AS post, host, views FROM (
           ${isSettled ? `SELECT post, host, views ${kept('post_view_breakdowns')}` : `SELECT post, referer_host AS host, count() AS views ${rows} GROUP BY post, host`}
         ) AS h LEFT ANY JOIN post_view_names AS n ON n.post = h.post`,
      )
      const ofSite = isSettled
        ? await onFirst(`SELECT host, views ${kept('post_view_site_breakdowns')}`)
        : await everywhere(`SELECT referer_host AS host, count() AS views ${rows} GROUP BY host`)
      return [...ofPosts, ...ofSite].map(({ post, host, views }) => ({
        post: post === undefined ? null : String(post),
        host: String(host),
        views: Number(views),
      }))
    },
    async rulesRelease() {
      const [recorded] = await onFirst(
        "SELECT value FROM post_view_agreed WHERE name = 'settings' ORDER BY number DESC LIMIT 1",
      )
      return (JSON.parse(String(recorded!['value'])) as { rules: { release: string } }).rules.release
    },
    everything: () =>
      Promise.all(
        ['post_view_rows', ...FIGURE_TABLES].map(table =>
          everywhere(`SELECT * FROM ${table} FINAL ORDER BY ALL`),
        ),
      ),
  }
}
