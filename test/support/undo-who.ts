/** Takes a database back to the version before, which kept nothing of who read a view but the referring host. */

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { CountingSettings } from '../../packages/analytics/src/store/counting-settings.ts'
import { DIMENSION_COLUMNS } from '../../packages/analytics/src/store/dimensions.ts'
import { StoreRefused } from '../../packages/analytics/src/store/failures.ts'
import { DETAILS, isOfBots } from '../../packages/analytics/src/store/figures.ts'
import { openStore } from '../../packages/analytics/src/store/open.ts'
import { numberOf, ROWS, SHOWN, VISITOR_ROWS } from '../../packages/analytics/src/store/sqlite/texts.ts'
import type { Store } from '../../packages/analytics/src/store/store.ts'
import { assertVerified } from '../store-contract-database.ts'
import { type Everything, everythingIn, type Question } from '../store-contract-recount.ts'
import { atEnd } from './at-end.ts'
import type { TestDatabase } from './engines.ts'
import { referrersIn } from './referrers.ts'
import { text } from './sql-damage.ts'
import { OTHER_POST, POST, record, view } from './views.ts'

/** The last migration of that version. */
const MIGRATION = { sqlite: 8, mysql: 7, postgres: 2 } as const

export async function undoWho({ url, query }: Pick<TestDatabase, 'url' | 'query'>): Promise<void> {
  for (const { date, post_uuid, counts } of await query(
    'SELECT date, post_uuid, counts FROM post_view_breakdowns',
  )) {
    const { referrer } = JSON.parse(String(counts))
    await query(
      `UPDATE post_view_breakdowns SET counts = ${text(JSON.stringify({ referrer }))}
       WHERE date = '${date}' AND post_uuid = ${text(String(post_uuid))}`,
    )
  }
  const engine = url.split(':')[0] as keyof typeof MIGRATION
  const columns = [...DIMENSION_COLUMNS.filter(name => name !== 'referer_host'), 'utm']
  if (engine === 'sqlite') {
    const numbers = columns.map(name =>
      ['origin', 'agent', 'country'].includes(name) ? numberOf(name) : name,
    )
    await dropShown(query, 'post_views', columns, ROWS, numbers)
    await dropShown(query, 'post_view_visitors', ['seen'], VISITOR_ROWS)
  } else {
    await drop(query, 'post_views', columns)
    await drop(query, 'post_view_visitors', ['seen'])
  }
  for (const table of ['post_view_aggregates', 'post_view_totals', 'site_view_aggregates'])
    await drop(query, table, DETAILS.filter(isOfBots))
  await drop(query, 'post_view_state', ['bots_before'])
  await query(`DELETE FROM post_view_migrations WHERE version > ${MIGRATION[engine]}`)
}

type Query = TestDatabase['query']

async function drop(query: Query, table: string, columns: readonly string[]): Promise<void> {
  for (const name of columns) await query(`ALTER TABLE ${table} DROP COLUMN ${name}`)
}

/** SQLite: `view` shows `columns` of a table, which has them under their names or as numbers. */
async function dropShown(
  query: Query,
  view: string,
  columns: readonly string[],
  table: string,
  there = columns,
): Promise<void> {
  await query(`DROP VIEW ${view}`)
  await drop(query, table, there)
  const lines = SHOWN.get(view)!.split('\n')
  await query(
    lines.filter(line => !columns.some(name => line.trim().split(' AS ').at(-1) === `${name},`)).join('\n'),
  )
}

/**
 * What a database of the version before answers: every number stays; what people and bots read is not known, and no mistake, until
 * the days are counted again.
 */
export async function keepsNumbers(store: Store, question: Question, answers: Everything): Promise<void> {
  const { chosen, ...others } = answers
  const { chosen: unknown, ...same } = await everythingIn(store, question)
  assert.deepEqual(same, others)
  assert.notDeepEqual(unknown, chosen)
  await assertVerified(store)
  await store.rebuild({ adoptSettings: false })
  assert.deepEqual(await everythingIn(store, question), answers)
  await assertVerified(store)
  assert.equal((await store.rebuild({ adoptSettings: false })).fixed, 0)
}

const SETTINGS: CountingSettings = { timeZone: 'UTC', windowHours: 24, uniqueBy: 'ip', bots: 'count' }
const DAY = '2026-07-15'
const FROM_GOOGLE = { referer: 'https://www.google.com/' }

/** Migrates a database of the version before: its numbers stay, and what it did not keep is unknown, and not 0. */
export async function knowsReadersFromNowOn(
  t: TestContext,
  database: Pick<TestDatabase, 'url' | 'query'>,
): Promise<void> {
  const opened = async () => {
    const store = await openStore(database.url, SETTINGS)
    atEnd(t, () => store.close())
    return store
  }
  const before = await opened()
  await before.migrate()
  const views = [
    // Enough of one post to be packed at once.
    ...Array.from({ length: 10 }, () => view(`${DAY}T12:00:00Z`, FROM_GOOGLE)),
    view(`${DAY}T12:00:00Z`, { postUuid: OTHER_POST, ...FROM_GOOGLE }),
  ]
  await record(before, views)
  const question = { posts: [POST, OTHER_POST], from: DAY, to: DAY }
  const answers = await everythingIn(before, question)
  await undoWho(database)

  const store = await opened()
  await store.migrate()
  // It would leave the new columns empty.
  await assert.rejects(record(before, [view(`${DAY}T12:00:00Z`)]), StoreRefused)
  await keepsNumbers(store, question, answers)
  assert.equal((await record(store, views)).counted, 0)
  await record(store, [view(`${DAY}T23:00:00Z`, FROM_GOOGLE)])
  const sourcesOf = (post: string | null) => store.breakdown('source', post, DAY, DAY)
  assert.deepEqual(await sourcesOf(POST), {
    values: new Map([['Google', { views: 1, bots: 0 }]]),
    others: null,
    days: [{ date: DAY, all: { views: 11, bots: 0 }, known: { views: 1, bots: 0 } }],
  })
  const [site] = (await sourcesOf(null)).days
  assert.deepEqual([site?.all.views, site?.known.views], [12, 1])
  assert.equal((await referrersIn(store, POST, DAY, DAY, 10)).referrers[0]?.views, 11)
  await assertVerified(store)
}
