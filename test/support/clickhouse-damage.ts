/** Damage to a store on ClickHouse. Counters are figures of batches there, raw rows deliveries, and nothing keeps totals. */

import type { Damage, Figures, Kept } from './damage.ts'
import { assignmentsOf, text, where } from './sql-damage.ts'
import { keptInSql } from './sql-kept.ts'

/** Runs one statement on a shard; the rows that it answers. */
type Run = (sql: string) => Promise<Record<string, unknown>[]>

export const CLICKHOUSE_COUNTERS = ['post_view_visitors', 'post_view_figures']

type Columns = Record<string, string | undefined>

const KINDS: Partial<Record<Figures['of'], string>> = {
  aggregate: 'post',
  referrer: 'referrer',
  site_aggregate: 'site',
  site_referrer: 'site_referrer',
}

/** The batches of a consumer that died before it counted them, long ago. The first keeps its figures on the first shard. */
const strangerOn = (shard: number) => `toUUID('01900000-0000-7000-8000-00000000000${shard}')`
const STRANGER = strangerOn(0)
const uuid = (hex: string) => `toUUID('${hex}')`

export async function damageClickhouse(shards: readonly Run[], damage: Damage): Promise<void> {
  const everywhere = (sql: string) => Promise.all(shards.map(run => run(sql)))
  const onFirst = (sql: string) => shards[0]!(sql)

  async function assertSome(table: string, rows: string): Promise<void> {
    const found = await everywhere(`SELECT count() AS rows FROM ${table} ${rows}`)
    if (found.flat().every(({ rows }) => Number(rows) === 0)) {
      throw new Error(`nothing to damage: ${table} ${rows}`)
    }
  }
  async function change(table: string, how: string, which: Columns, ...more: string[]): Promise<void> {
    const rows = where(which, ...more) || 'WHERE true'
    await assertSome(table, rows)
    await everywhere(`ALTER TABLE ${table} ${how} ${rows}`)
  }
  const changeFigures = (how: string, figures: Figures) =>
    change('post_view_figures', how, columnsOf(figures))

  switch (damage.kind) {
    case 'too high': {
      const { figure, by = 1 } = damage
      return changeFigures(`UPDATE ${figure} = ${figure} + ${by}`, damage)
    }
    case 'emptied': {
      const { figure } = damage
      return changeFigures(`UPDATE ${figure} = ${figure === 'first_viewed_at' ? 'NULL' : '0'}`, damage)
    }
    case 'missing':
      return changeFigures('DELETE', damage)
    case 'superfluous': {
      const { of, views } = damage
      const uniques = of === 'aggregate' ? views : 0
      const cells = Object.entries(columnsOf(damage)).filter(([, value]) => value !== undefined)
      const values = cells.map(([, value]) => text(value!))
      await onFirst(
        `INSERT INTO post_view_figures (batch, views, unique_views, ${cells.map(([column]) => column).join(', ')})
         VALUES (${STRANGER}, ${views}, ${uniques}, ${values.join(', ')})`,
      )
      return
    }
    case 'rows missing':
      return change('post_view_deliveries', 'DELETE', { post_uuid: damage.post })
    case 'rows tampered':
      return change('post_view_deliveries', `UPDATE ${assignmentsOf(damage.says, uuid)}`, {
        post_uuid: damage.post,
        referer: damage.referer,
      })
    case 'rows uncounted': {
      const { post, ip, instead } = damage
      const own = where({ post_uuid: post })
      await assertSome('post_view_deliveries', own)
      const from = ip === undefined ? 'ip' : text(ip)
      const insert = (shard: number) => `
        INSERT INTO post_view_deliveries
        SELECT * REPLACE (generateUUIDv4() AS id, false AS has_id, ${strangerOn(shard)} AS batch, ${from} AS ip)
        FROM post_view_deliveries ${own}`
      await Promise.all(shards.map((run, shard) => run(insert(shard))))
      const strangers = shards.map((_, shard) => strangerOn(shard)).join(', ')
      const counted = `batch NOT IN (${strangers})`
      if (instead) await change('post_view_deliveries', 'DELETE', { post_uuid: post }, counted)
      return
    }
    case 'readers missing':
      return change('post_view_visitors', 'DELETE', { post_uuid: damage.post, day: damage.day })
    case 'reader superfluous':
      await onFirst(
        `INSERT INTO post_view_visitors (day, post_uuid, slice, visitor, epoch, batch)
         VALUES (${text(damage.day)}, ${text(damage.post)}, 0, ${uuid(damage.visitor)}, 1, ${STRANGER})`,
      )
      return
    case 'readers left over':
      await assertSome('post_view_deliveries', '')
      await onFirst(
        `INSERT INTO post_view_visitors (day, post_uuid, slice, visitor, epoch, batch)
         SELECT DISTINCT day, post_uuid, slice, visitor, 1, ${STRANGER} FROM post_views`,
      )
      return
    case 'day keys missing':
      return change('post_view_day_keys', 'DELETE', {})
    case 'newer version':
      await onFirst(`INSERT INTO post_view_migrations (version) VALUES (${damage.migration})`)
      return
    case 'another prunes':
      await onFirst(
        `INSERT INTO post_view_leases (name, holder, expires_at) VALUES ('prune', 'another', ${damage.until})`,
      )
      return
    case 'table taken away':
      await everywhere(`RENAME TABLE ${damage.table} TO taken_away`)
      return
    case 'table given back':
      await everywhere(`RENAME TABLE taken_away TO ${damage.table}`)
  }
}

function columnsOf({ of, post, day, host }: Figures): Columns {
  const kind = KINDS[of]
  if (kind === undefined) throw new Error(`ClickHouse keeps no ${of}`)
  return { kind, post_uuid: post, day, host }
}

/** The first shard answers for all with views that have the names and columns of the other engines' tables. */
export function keptInClickhouse(shards: () => Promise<readonly Run[]>): Kept {
  const everywhere = async (sql: string) => Promise.all((await shards()).map(run => run(sql)))
  return {
    ...keptInSql(async sql => (await shards())[0]!(sql)),
    async readerDays() {
      const days = await everywhere('SELECT DISTINCT day FROM post_view_visitors')
      return [...new Set(days.flat().map(({ day }) => String(day)))].toSorted()
    },
    async rulesRelease() {
      const [[recorded] = []] = await everywhere(
        'SELECT rules_release FROM post_view_settings ORDER BY agreement DESC LIMIT 1',
      )
      return String(recorded!['rules_release'])
    },
    everything: () =>
      Promise.all(
        [...CLICKHOUSE_COUNTERS, 'post_view_deliveries'].map(table =>
          everywhere(`SELECT * FROM ${table} ORDER BY ALL`),
        ),
      ),
  }
}
