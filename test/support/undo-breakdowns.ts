/** Takes a database back to the previous version's storage of referring hosts: one row per host. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { KEPT_OF_POST, SITE } from '../../packages/analytics/src/store/bounds.ts'
import type { CountingSettings } from '../../packages/analytics/src/store/counting-settings.ts'
import { StoreRefused } from '../../packages/analytics/src/store/failures.ts'
import { openStore } from '../../packages/analytics/src/store/open.ts'
import { Pack } from '../../packages/analytics/src/store/pack.ts'
import { assertVerified } from '../store-contract-database.ts'
import { questionOf, randomOf, randomViews } from '../store-contract-random.ts'
import { everythingIn } from '../store-contract-recount.ts'
import { atEnd } from './at-end.ts'
import type { TestDatabase } from './engines.ts'
import { referrersIn } from './referrers.ts'
import { text } from './sql-damage.ts'
import { undoNumbers } from './undo-numbers.ts'
import { keepsNumbers, undoWho } from './undo-who.ts'
import { POST, record, unix, view } from './views.ts'

const SETTINGS: CountingSettings = { timeZone: 'UTC', windowHours: 6, uniqueBy: 'ip', bots: 'count' }
const VIEWS = randomViews(randomOf(9), 250)
const QUESTION = questionOf(VIEWS)
const IN_SUMMER = '2026-07-15T12:00:00Z'

/** Migrates a database of the version before: every number stays, and consumers of that version stop. */
export async function keepsNumbersOfHosts(
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
  await record(before, VIEWS)
  // More than a settled day keeps of a post, and many from one.
  const hosts = Array.from({ length: KEPT_OF_POST + 20 }, (_, nth) => `host-${nth}.example`)
  const referers = [...hosts, ...Array.from({ length: 40 }, () => 'often.example')]
  await record(
    before,
    referers.map(host => view(IN_SUMMER, { referer: `https://${host}/` })),
  )
  await before.prune({ now: unix('2026-08-01T00:00:00Z'), rawRetentionDays: 0, maxAgeSeconds: 10 ** 8 })
  const answers = await everythingIn(before, QUESTION)
  const summer = IN_SUMMER.slice(0, 10)
  const asked = [POST, summer, summer, 1_000] as const
  const referrers = await referrersIn(before, ...asked)
  assert.deepEqual([referrers.referrers.length, referrers.other.views], [KEPT_OF_POST, 21])
  await undoBreakdowns(database)

  const store = await opened()
  await store.migrate()
  // It would count hosts in tables that are gone.
  await assert.rejects(record(before, [view(IN_SUMMER)]), StoreRefused)
  assert.deepEqual(await referrersIn(store, ...asked), referrers)
  await keepsNumbers(store, QUESTION, answers)
  await record(
    store,
    referers.map(host => view(IN_SUMMER, { referer: `https://${host}/` })),
  )
  const again = await referrersIn(store, ...asked)
  assert.deepEqual(again.referrers[0], { host: 'often.example', views: 80 })
  assert.deepEqual(again.other.views, 42)
  await assertVerified(store)
}

/** The last migration of the previous version. */
const MIGRATION = { sqlite: 5, mysql: 5, postgres: 1 } as const

/** Every raw row must still be there. On days with a remainder, the packs tell which hosts were kept. */
export async function undoBreakdowns(database: Pick<TestDatabase, 'url' | 'query'>): Promise<void> {
  const { url, query } = database
  const engine = url.split(':')[0] as keyof typeof MIGRATION
  await (engine === 'sqlite' ? undoNumbers(database) : undoWho(database))
  for (const table of ['post_view_referrers', 'site_view_referrers']) await query(tableOf(engine, table))
  const hosts = (await query(
    `SELECT day, post_uuid, referer_host, COUNT(*) AS views FROM post_views GROUP BY day, post_uuid, referer_host`,
  )) as { day: string; post_uuid: string; referer_host: string; views: number }[]
  const packs = await query('SELECT date, post_uuid, counts FROM post_view_breakdowns')
  const kept = new Map(
    packs.map(({ date, post_uuid, counts }) => {
      const { values, others } = Pack.parse(String(counts)).of('referrer')
      return [`${date} ${post_uuid}`, others === null ? null : new Set(values.keys())]
    }),
  )
  const sums = new Map<string, { day: string; post: string; host: string; views: number }>()
  for (const { day, post_uuid, referer_host, views } of hosts) {
    for (const post of [post_uuid, SITE]) {
      const of = kept.get(`${day} ${post}`) ?? null
      const host = of === null || of.has(referer_host) ? referer_host : '<other>'
      const key = JSON.stringify([day, post, host])
      const sum = sums.get(key)
      sums.set(key, { day, post, host, views: (sum?.views ?? 0) + Number(views) })
    }
  }
  for (const { day, post, host, views } of sums.values()) {
    await query(
      post === SITE
        ? `INSERT INTO site_view_referrers (date, host, view_count) VALUES ('${day}', ${text(host)}, ${views})`
        : `INSERT INTO post_view_referrers (date, post_uuid, host, view_count) VALUES ('${day}', ${text(post)}, ${text(host)}, ${views})`,
    )
  }
  await query('DROP TABLE post_view_breakdowns')
  await query('DROP TABLE post_view_unpacked')
  await query(`DELETE FROM post_view_migrations WHERE version > ${MIGRATION[engine]}`)
}

/** The statement of the first migration that creates the table. */
function tableOf(engine: string, table: string): string {
  const migration = new URL(
    `../../packages/analytics/src/store/${engine}/migrations/001.do.initial.sql`,
    import.meta.url,
  )
  return new RegExp(`CREATE TABLE (IF NOT EXISTS )?${table} .*?;$`, 'ms').exec(
    readFileSync(migration, 'utf8'),
  )![0]
}
