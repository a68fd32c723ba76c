/** Damage to a store on SQLite, MariaDB or MySQL: the tables are the same, and so is the SQL. */

import type { Damage, Derived, Figure, Figures } from './damage.ts'

type Bytes = (hex: string) => string

const COMMON_BYTES: Bytes = hex => `x'${hex}'`

const TABLES: Record<Figures['of'], string> = {
  aggregate: 'post_view_aggregates',
  total: 'post_view_totals',
  referrer: 'post_view_referrers',
  site_aggregate: 'site_view_aggregates',
  site_referrer: 'site_view_referrers',
}

/**
 * @param change runs one statement, and answers how many rows it changed
 * @param bytes hex digits as a literal
 */
export async function damageSql(
  change: (sql: string) => Promise<number>,
  damage: Damage,
  bytes = COMMON_BYTES,
): Promise<void> {
  for (const statement of statementsOf(damage, bytes)) {
    const changed = await change(statement)
    if (changed === 0 && !statement.startsWith('ALTER')) throw new Error(`nothing to damage: ${statement}`)
  }
}

function statementsOf(damage: Damage, bytes: Bytes): string[] {
  switch (damage.kind) {
    case 'too high': {
      const column = columnOf(damage.of, damage.figure)
      return [`UPDATE ${TABLES[damage.of]} SET ${column} = ${column} + ${damage.by ?? 1} ${ofThese(damage)}`]
    }
    case 'emptied': {
      const nothing = damage.figure === 'first_viewed_at' ? 'NULL' : '0'
      const column = columnOf(damage.of, damage.figure)
      return [`UPDATE ${TABLES[damage.of]} SET ${column} = ${nothing} ${ofThese(damage)}`]
    }
    case 'missing':
      return [`DELETE FROM ${TABLES[damage.of]} ${ofThese(damage)}`]
    case 'superfluous':
      return [insertSuperfluous(damage)]
    case 'rows missing':
      return [`DELETE FROM post_views ${where({ post_uuid: damage.post })}`]
    case 'rows tampered':
      // The first TIMESTAMP of a table may follow the clock at every change.
      return [
        `UPDATE post_views SET ${assignmentsOf(damage.says, bytes)}, viewed_at = viewed_at ${where({ post_uuid: damage.post, referer: damage.referer })}`,
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
        `INSERT INTO post_view_visitors (day, post_uuid, slice, visitor)
         VALUES (${text(damage.day)}, ${text(damage.post)}, 0, ${bytes(damage.visitor)})`,
      ]
    case 'readers left over':
      return [
        `INSERT INTO post_view_visitors (day, post_uuid, slice, visitor)
         SELECT DISTINCT day, post_uuid, slice, visitor FROM post_views`,
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

function columnOf(of: Figures['of'], figure: Figure | 'first_viewed_at'): string {
  return figure === 'views' && of !== 'total' ? 'view_count' : figure
}

function ofThese({ post, day, host }: Figures): string {
  return where({ post_uuid: post, date: day, host })
}

function insertSuperfluous(damage: Figures & { views: number }): string {
  const { of, post, day, host, views } = damage
  const columns: Record<string, string | number | undefined> = {
    post_uuid: post,
    date: day,
    host,
    [columnOf(of, 'views')]: views,
    ...(of === 'aggregate' ? { unique_views: views, logged_in: 0, bots: 0 } : {}),
  }
  const cells = Object.entries(columns).filter(([, value]) => value !== undefined)
  const values = cells.map(([, value]) => (typeof value === 'number' ? value : text(value!)))
  return `INSERT INTO ${TABLES[of]} (${cells.map(([column]) => column).join(', ')}) VALUES (${values.join(', ')})`
}

const DERIVED: Record<string, string> = {
  day: 'day',
  slice: 'slice',
  loggedIn: 'logged_in',
  visitor: 'visitor',
  refererHost: 'referer_host',
} satisfies Record<keyof Derived, string>

/** The assignments of an UPDATE. `visitorOf`: the literal of a visitor's 32 hex digits. */
export function assignmentsOf(says: Partial<Derived>, visitorOf: (hex: string) => string): string {
  const assignments = Object.entries(says).map(([field, value]) => {
    const literal = typeof value === 'string' ? text(value) : Number(value)
    return `${DERIVED[field]} = ${field === 'visitor' ? visitorOf(String(value)) : literal}`
  })
  return assignments.join(', ')
}

/** A WHERE over those columns that have a value; empty where none has. */
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
