/**
 * Adopts what the second article's consumer has counted: its counts become baselines, its rows are derived as if they arrived
 * today, and the other figures of a day are set if its rows explain its count.
 *
 * Every step finds out by itself what is left to do, so the next run continues an interrupted one. The state is written last:
 * until then nobody records, and nothing else counts.
 */

import { canonicalPost } from '@postviews/client/src/index.ts'
import type { Who } from '../../derive/who.ts'
import type { Day } from '../days.ts'
import { type Derived, deriveAgain, type RawRow } from '../derive-again.ts'
import { differences } from '../differences.ts'
import { StoreUnavailable } from '../failures.ts'
import { packDay } from '../sql/breakdown-rebuild.ts'
import { listVisitors, makeKey } from '../sql/day-keys.ts'
import { aggregatesOfDay } from '../sql/day-recount.ts'
import { DAY_COLUMNS, isTime } from '../sql/figure-columns.ts'
import { sumUpSite } from '../sql/rebuild-days.ts'
import { allDays, type Pair, type StoredAggregate } from '../sql/recount.ts'
import { dayKeys, rawRows } from '../sql/rows.ts'
import type { SqlEngine } from '../sql/sql.ts'
import { insertTotals } from '../sql/totals.ts'
import type { Progress } from '../store.ts'
import { firstTexts, type WhoText } from '../who-again.ts'
import { type MysqlClient, transactionOn } from './connection.ts'
import { bytes, partsOf, quoted, statement } from './text.ts'
import { spelling, upsert } from './upsert.ts'

const ROWS_AT_ONCE = 20_000
const TEXTS_AT_ONCE = 5_000
// Days that retention leaves open by default. With other settings, retention closes more of them later, or opens some again.
const OPEN_SECONDS = 31 * 86_400

export async function adopt(
  client: MysqlClient,
  engine: SqlEngine,
  who: Who,
  progress: Progress,
): Promise<void> {
  const [tables] = await client.all(
    'SELECT EXISTS (SELECT 1 FROM post_views) OR EXISTS (SELECT 1 FROM post_view_aggregates) AS hold_data',
  )
  const now = Math.floor(Date.now() / 1_000)
  const openFrom = engine.calendar.dayOf(now - OPEN_SECONDS)
  await mergeSpellings(client)
  await takeBaselines(client, progress)
  await adoptRows(client, engine, who, progress)
  await adoptDays(client, engine, openFrom, progress)
  await finish(client, engine, openFrom, Number(tables!['hold_data']) === 1 ? now : null)
}

/** A post whose id was spelt in two ways was counted separately: adds up the counts of a day. */
async function mergeSpellings(client: MysqlClient): Promise<void> {
  let last = 0
  for (;;) {
    const rows = await client.all(
      `SELECT id, post_uuid, date, view_count
       FROM post_view_aggregates
       WHERE id > ? AND post_uuid <> LOWER(post_uuid)
       ORDER BY id
       LIMIT ${TEXTS_AT_ONCE}`,
      [last],
    )
    if (rows.length === 0) return
    await transactionOn(client, async () => {
      for (const row of rows) {
        const spelt = String(row['post_uuid'])
        const post = canonicalPost(spelt) ?? spelt
        if (post !== spelt) await spellAs(client, post, row)
      }
    })
    last = Number(rows.at(-1)!['id'])
  }
}

async function spellAs(client: MysqlClient, post: string, row: Record<string, unknown>): Promise<void> {
  const id = Number(row['id'])
  const [same] = await client.all('SELECT id FROM post_view_aggregates WHERE post_uuid = ? AND date = ?', [
    post,
    String(row['date']),
  ])
  if (same === undefined) {
    await client.run('UPDATE post_view_aggregates SET post_uuid = ? WHERE id = ?', [post, id])
  } else {
    await client.run('UPDATE post_view_aggregates SET view_count = view_count + ? WHERE id = ?', [
      Number(row['view_count']),
      Number(same['id']),
    ])
    await client.run('DELETE FROM post_view_aggregates WHERE id = ?', [id])
  }
}

/** Until the state is written, only the old consumer has counted, so repeating this gives the same result. */
async function takeBaselines(client: MysqlClient, progress: Progress): Promise<void> {
  const [count] = await client.all('SELECT COUNT(*) AS count FROM post_view_aggregates')
  const total = Number(count!['count'])
  let after = 0
  for (let done = 0; done < total; ) {
    const [edge] = await client.all(
      `SELECT MAX(id) AS last, COUNT(*) AS count
       FROM (SELECT id FROM post_view_aggregates WHERE id > ? ORDER BY id LIMIT ${ROWS_AT_ONCE}) AS part`,
      [after],
    )
    if (edge!['last'] === null) return
    const last = Number(edge!['last'])
    await client.run('UPDATE post_view_aggregates SET baseline = view_count WHERE id > ? AND id <= ?', [
      after,
      last,
    ])
    after = last
    done += Number(edge!['count'])
    progress('aggregates', Math.min(done, total), total)
  }
}

/** Derives the columns of the rows that have none yet. The keys of all days stay until the end, so that one reader is one visitor. */
async function adoptRows(
  client: MysqlClient,
  engine: SqlEngine,
  who: Who,
  progress: Progress,
): Promise<void> {
  const [count] = await client.all('SELECT COUNT(*) AS total, COUNT(day) AS done FROM post_views')
  const total = Number(count!['total'])
  let done = Number(count!['done'])
  const keys = await dayKeys(client)
  const isBot = (agent: string | null) => who.agentOf(agent).isBot
  for await (const rows of rawRows(engine, client, { where: 'day IS NULL' })) {
    const days = new Set(rows.map(({ viewedAt }) => engine.calendar.dayOf(viewedAt)))
    for (const day of days) {
      if (!keys.has(day)) keys.set(day, await makeKey(client, day))
    }
    const derivedRows = rows.map(row => ({
      row,
      derived: {
        ...deriveAgain(row, engine, { settingsSince: null }, keys, isBot),
        ...firstTexts(row, who),
      },
    }))
    await transactionOn(client, () => writeRows(client, derivedRows))
    done += rows.length
    progress('rows', done, total)
  }
}

/** An adopted row keeps what it must be derived from, so all of it is known at once. */
type Adopted = Derived & Record<WhoText, string | null>

const DERIVED = [
  'post_uuid',
  'day',
  'slice',
  'logged_in',
  'bot',
  'visitor',
  'referer_host',
  'hour_of_day',
  'origin',
  'agent',
  'country',
]
// `viewed_at = viewed_at`: the users' own declaration may move that time on with every change.
const WRITE_ROWS = upsert(
  'post_views',
  ['id', ...DERIVED],
  added => `viewed_at = viewed_at, ${assignments(DERIVED, added)}`,
)

async function writeRows(
  client: MysqlClient,
  rows: readonly { row: RawRow; derived: Adopted }[],
): Promise<void> {
  const rowText = ({ row, derived }: { row: RawRow; derived: Adopted }) => {
    const { post_uuid, day, slice, logged_in, bot, visitor, referer_host, hour_of_day } = derived
    const who = [derived.origin, derived.agent, derived.country].map(quoted).join()
    return `(${row.id},${quoted(post_uuid)},'${day}',${slice},${logged_in},${bot},${bytes(visitor!)},${quoted(referer_host)},${hour_of_day},${who})`
  }
  const { insert, update } = spelling(WRITE_ROWS, client)
  for (const { items, texts } of partsOf(rows, TEXTS_AT_ONCE, rowText)) {
    const { changed } = await client.write(statement(insert, texts, update))
    // An existing row counts as two changes, a missing one as one: then somebody has just removed it.
    if (changed !== 2 * items.length)
      throw new StoreUnavailable('MySQL: rows disappeared while they were being adopted')
  }
}

/** Sets the figures of each day that its rows explain, in one transaction; what is already right is not changed. */
async function adoptDays(
  client: MysqlClient,
  engine: SqlEngine,
  openFrom: Day,
  progress: Progress,
): Promise<void> {
  const days = await allDays(engine, client)
  for (const [index, day] of days.entries()) {
    await transactionOn(client, async () => {
      const aggregates = await aggregatesOfDay(engine, client, day)
      await writeAggregates(client, day, aggregates)
      await packDay(engine, client, day)
      if (day >= openFrom) await listVisitors(engine, client, day)
      await sumUpSite(client, day)
    })
    progress('days', index + 1, days.length)
  }
}

const WRITE_AGGREGATES = upsert('post_view_aggregates', ['post_uuid', 'date', ...DAY_COLUMNS], added =>
  assignments(DAY_COLUMNS.slice(1), added),
)

function assignments(columns: readonly string[], added: (column: string) => string): string {
  return columns.map(column => `${column} = ${added(column)}`).join(', ')
}

async function writeAggregates(
  client: MysqlClient,
  day: Day,
  pairs: readonly Pair<string, StoredAggregate>[],
): Promise<void> {
  const wrong = pairs.filter(
    ({ expected, found }) => differences('aggregate', '', expected, found).length > 0,
  )
  for (const { key, expected } of wrong) {
    // A count of zero, and no row: nothing was adopted here.
    if (expected !== null) continue
    await client.run('DELETE FROM post_view_aggregates WHERE post_uuid = ? AND date = ?', [key, day])
  }
  const told = wrong.filter(({ expected }) => expected !== null)
  const textOf = ({ key, expected }: Pair<string, StoredAggregate>) => {
    const values = DAY_COLUMNS.map(column => {
      const value = expected![column]
      return isTime(column) && value !== null ? `'${value}'` : `${value}`
    })
    return `(${quoted(key)},'${day}',${values.join()})`
  }
  const { insert, update } = spelling(WRITE_AGGREGATES, client)
  for (const { texts } of partsOf(told, TEXTS_AT_ONCE, textOf)) {
    await client.write(statement(insert, texts, update))
  }
}

/** Writes the totals, and the state with which counting begins. */
async function finish(
  client: MysqlClient,
  engine: SqlEngine,
  openFrom: Day,
  adoptedAt: number | null,
): Promise<void> {
  const { timeZone, windowHours, uniqueBy, bots } = engine.settings
  await transactionOn(client, async () => {
    await client.run('DELETE FROM post_view_totals')
    await client.run(insertTotals('1 = 1', engine.daysOfPosts))
    const closed = await client.run('DELETE FROM post_view_day_keys WHERE day < ?', [openFrom])
    await client.run(
      `INSERT INTO post_view_state
         (id, stats_timezone, window_hours, unique_by, bots, open_from, unknown_until, adopted_at)
       SELECT 1, ?, ?, ?, ?, ?, MAX(date), ?
       FROM post_view_aggregates
       WHERE unique_views IS NULL`,
      [timeZone, windowHours, uniqueBy, bots, closed > 0 ? openFrom : null, adoptedAt],
    )
  })
}
