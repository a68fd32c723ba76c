/** Damage to a store on an SQL database: all of them have the same tables and SQL. */

import { REMAINDER } from '../../packages/analytics/src/store/bounds.ts'
import { Pack, type Views } from '../../packages/analytics/src/store/pack.ts'
import type { Damage, Derived, Figure, Figures } from './damage.ts'

type Bytes = (hex: string) => string

const COMMON_BYTES: Bytes = hex => `x'${hex}'`

const TABLES: Record<Exclude<Figures['of'], 'referrer' | 'site_referrer'>, string> = {
  aggregate: 'post_view_aggregates',
  total: 'post_view_totals',
  site_aggregate: 'site_view_aggregates',
}

export interface DamagedDatabase {
  /** Runs one statement and returns how many rows it changed. */
  change(sql: string): Promise<number>
  query(sql: string): Promise<Record<string, unknown>[]>
  /** Hex digits as a literal. */
  bytes?: Bytes
}

export async function damageSql(database: DamagedDatabase, damage: Damage): Promise<void> {
  const { change, bytes = COMMON_BYTES } = database
  if ('of' in damage && (damage.of === 'referrer' || damage.of === 'site_referrer')) {
    return damageHosts(database, damage)
  }
  for (const statement of statementsOf(damage, bytes)) {
    const changed = await change(statement)
    if (changed === 0 && !statement.startsWith('ALTER')) throw new Error(`nothing to damage: ${statement}`)
  }
}

/** Damages packed hosts. Rows that are not packed yet have no stored hosts to damage. */
async function damageHosts({ change, query }: DamagedDatabase, damage: Damage & Figures): Promise<void> {
  const { kind, of, post, day, host } = damage
  const ofPosts = post === undefined ? [`post_uuid <> ''`] : []
  const places = where(
    { date: day, post_uuid: of === 'site_referrer' ? '' : post },
    ...(of === 'referrer' ? ofPosts : []),
  )
  if (kind === 'missing' && host === undefined) {
    if ((await change(`DELETE FROM post_view_breakdowns ${places}`)) === 0)
      throw new Error(`nothing: ${places}`)
    return
  }
  const rows = await query(`SELECT date, post_uuid, counts FROM post_view_breakdowns ${places}`)
  if (kind === 'superfluous' && rows.length === 0) {
    const place = [day!, of === 'referrer' ? post! : '', '{}'].map(text).join(', ')
    await change(`INSERT INTO post_view_breakdowns (date, post_uuid, counts) VALUES (${place})`)
    return damageHosts({ change, query }, damage)
  }
  let isDamaged = false
  for (const { date, post_uuid, counts } of rows) {
    const pack = Pack.parse(String(counts))
    const breakdown = pack.of('referrer')
    const damaged = (views: Views | null): Views | null => {
      isDamaged ||= views !== null
      const by = kind === 'too high' ? (damage.by ?? 1) : 0
      if (views !== null && kind === 'too high' && damage.figure === 'bots')
        return { ...views, bots: views.bots! + by }
      if (kind === 'too high') return views && { ...views, views: views.views + by }
      return kind === 'emptied' ? views && { ...views, views: 0 } : null
    }
    if (kind === 'superfluous') {
      breakdown.set(host!, { views: damage.views, bots: 0 })
      isDamaged = true
    } else if (host === REMAINDER) {
      breakdown.others = damaged(breakdown.others)
    } else {
      for (const [value, views] of [...breakdown.values]) {
        if (host !== undefined && value !== host) continue
        const changed = damaged(views)
        if (changed === null) breakdown.values.delete(value)
        else breakdown.set(value, changed)
      }
    }
    await change(
      `UPDATE post_view_breakdowns SET counts = ${text(pack.toString())} ${where({ date: String(date), post_uuid: String(post_uuid) })}`,
    )
  }
  if (!isDamaged) throw new Error(`nothing to damage: ${JSON.stringify(damage)}`)
}

function statementsOf(damage: Damage, bytes: Bytes): string[] {
  switch (damage.kind) {
    case 'too high': {
      const column = columnOf(damage.of, damage.figure)
      return [`UPDATE ${tableOf(damage)} SET ${column} = ${column} + ${damage.by ?? 1} ${ofThese(damage)}`]
    }
    case 'emptied': {
      const nothing = damage.figure === 'first_viewed_at' ? 'NULL' : '0'
      const column = columnOf(damage.of, damage.figure)
      return [`UPDATE ${tableOf(damage)} SET ${column} = ${nothing} ${ofThese(damage)}`]
    }
    case 'missing':
      return [`DELETE FROM ${tableOf(damage)} ${ofThese(damage)}`]
    case 'superfluous':
      return [insertSuperfluous(damage)]
    case 'rows missing':
      return [`DELETE FROM post_views ${where({ post_uuid: damage.post })}`]
    case 'rows tampered':
      // The first TIMESTAMP column of a table may change to the current time at every update.
      return [
        `UPDATE post_views SET ${assignmentsOf(damage.says, bytes)}, viewed_at = viewed_at ${where({ post_uuid: damage.post, referer: damage.referer })}`,
      ]
    case 'rows from before':
      return [
        `UPDATE post_views SET hour_of_day = NULL, utm = NULL, origin = NULL, agent = NULL, country = NULL, viewed_at = viewed_at ${where({ post_uuid: damage.post })}`,
      ]
    case 'rows uncounted':
      return [
        `INSERT INTO post_views (post_uuid, user_id, ip, user_agent, referer, viewed_at)
         SELECT post_uuid, user_id, ${damage.ip === undefined ? 'ip' : text(damage.ip)}, user_agent, referer, viewed_at
         FROM post_views ${where({ post_uuid: damage.post })}`,
        ...(damage.instead
          ? [`DELETE FROM post_views ${where({ post_uuid: damage.post }, 'day IS NOT NULL')}`]
          : []),
      ]
    case 'readers missing':
      return [`DELETE FROM post_view_visitors ${where({ post_uuid: damage.post, day: damage.day })}`]
    case 'reader superfluous':
      return [
        `INSERT INTO post_view_visitors (day, post_uuid, slice, visitor, seen)
         VALUES (${text(damage.day)}, ${text(damage.post)}, 0, ${bytes(damage.visitor)}, 1)`,
      ]
    case 'readers left over':
      return [
        `INSERT INTO post_view_visitors (day, post_uuid, slice, visitor, seen)
         SELECT DISTINCT day, post_uuid, slice, visitor, 1 FROM post_views`,
      ]
    case 'day keys missing':
      return ['DELETE FROM post_view_day_keys']
    case 'newer version':
      return [`INSERT INTO post_view_migrations (version) VALUES (${damage.migration})`]
    case 'another prunes':
      return [
        `INSERT INTO post_view_leases (name, holder, expires_at) VALUES ('prune', 'another', ${damage.until})`,
      ]
    case 'table taken away':
      return [`ALTER TABLE ${damage.table} RENAME TO taken_away`]
    case 'table given back':
      return [`ALTER TABLE taken_away RENAME TO ${damage.table}`]
  }
}

function tableOf({ of }: Figures): string {
  return TABLES[of as keyof typeof TABLES]
}

function columnOf(of: Figures['of'], figure: Figure | 'first_viewed_at'): string {
  return figure === 'views' && of !== 'total' ? 'view_count' : figure
}

function ofThese({ post, day }: Figures): string {
  return where({ post_uuid: post, date: day })
}

function insertSuperfluous(damage: Figures & { views: number }): string {
  const { of, post, day, views } = damage
  const columns: Record<string, string | number | undefined> = {
    post_uuid: post,
    date: day,
    [columnOf(of, 'views')]: views,
    ...(of === 'aggregate' ? { unique_views: views, logged_in: 0, bots: 0 } : {}),
  }
  const cells = Object.entries(columns).filter(([, value]) => value !== undefined)
  const values = cells.map(([, value]) => (typeof value === 'number' ? value : text(value!)))
  return `INSERT INTO ${tableOf(damage)} (${cells.map(([column]) => column).join(', ')}) VALUES (${values.join(', ')})`
}

const DERIVED: Record<string, string> = {
  day: 'day',
  slice: 'slice',
  loggedIn: 'logged_in',
  bot: 'bot',
  visitor: 'visitor',
  refererHost: 'referer_host',
  hour: 'hour_of_day',
  origin: 'origin',
  agent: 'agent',
  country: 'country',
} satisfies Record<keyof Derived, string>

/** The assignments of an UPDATE. `visitorOf`: the literal of a visitor's 32 hex digits. */
export function assignmentsOf(says: Partial<Derived>, visitorOf: (hex: string) => string): string {
  const assignments = Object.entries(says).map(([field, value]) => {
    const literal = typeof value === 'string' ? text(value) : Number(value)
    return `${DERIVED[field]} = ${field === 'visitor' ? visitorOf(String(value)) : literal}`
  })
  return assignments.join(', ')
}

/** A WHERE clause for the columns that have a value; empty if none has. */
export function where(columns: Record<string, string | undefined>, ...more: string[]): string {
  const equal = Object.entries(columns).flatMap(([column, value]) =>
    value === undefined ? [] : `${column} = ${text(value)}`,
  )
  const conditions = [...equal, ...more]
  return conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`
}

export function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`
}
