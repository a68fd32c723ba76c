/** Exact counting depends on unique keys in the database. `verify` names keys that are gone, and ids that were counted twice since. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { openStore } from '../../packages/analytics/src/store/open.ts'
import { dumpSchema } from '../../packages/analytics/src/store/schema-dump.ts'
import type { Difference } from '../../packages/analytics/src/store/store.ts'
import { testPostgres } from '../../tools/stack/for-tests.ts'
import { queryPostgres } from '../../tools/stack/postgres.ts'
import { SETTINGS } from '../support/mysql.ts'
import { keepsNumbersOfHosts } from '../support/undo-breakdowns.ts'
import { knowsReadersFromNowOn } from '../support/undo-who.ts'
import { record, view } from '../support/views.ts'

const NOON = '2026-03-10T12:00:00Z'

async function counting(t: TestContext) {
  const { url, name } = await testPostgres()
  const store = await openStore(url, SETTINGS)
  t.after(() => store.close())
  await store.migrate()
  await record(store, [view(NOON), view(NOON, { eventId: null })])
  const found = async () => {
    const differences: Difference[] = []
    const fresh = await openStore(url, SETTINGS)
    await fresh.verify(difference => differences.push(difference)).finally(() => fresh.close())
    return differences.map(({ name, field, expected, found }) => [name, field, expected, found])
  }
  return { url, name, store, found, query: (sql: string) => queryPostgres(url, sql) }
}

test('the dump of the schema is what the migrations make', async t => {
  const { url } = await counting(t)
  const file = new URL('../../packages/analytics/src/store/postgres/schema.sql', import.meta.url)
  assert.equal(await dumpSchema(url), readFileSync(file, 'utf8'))
})

test('verify names a key that is gone and ids that count twice since; what the manual says puts it right', async t => {
  const { found, query, store } = await counting(t)
  assert.deepEqual(await found(), [])
  await query('DROP INDEX uq_event_id')
  const columns =
    'event_id, post_uuid, user_id, ip, user_agent, viewed_at, received_at, day, slice, logged_in, bot, visitor, referer_host'
  await query(
    `INSERT INTO post_views (${columns}) SELECT ${columns} FROM post_views WHERE event_id IS NOT NULL`,
  )
  const [missing, repeated] = await found()
  assert.deepEqual(missing, ['post_views (event_id)', 'unique key', 'there', 'missing'])
  assert.match(String(repeated![0]), /^id [0-9a-f-]{36}$/)
  const manual = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8')
  await query(/^-- PostgreSQL: one row of each id\n(.*?)^```/ms.exec(manual)![1]!)
  await store.rebuild({ adoptSettings: false })
  assert.deepEqual(await found(), [])
  assert.equal((await store.siteTotals()).views, 2)
})

test('verify names keys and triggers of somebody else, and a setting that loses commits', async t => {
  const { found, query, name } = await counting(t)
  await query('CREATE UNIQUE INDEX their_key ON post_view_totals (post_uuid, views)')
  assert.deepEqual(await found(), [])
  await query('CREATE UNIQUE INDEX their_other ON post_view_totals (views)')
  await query("CREATE FUNCTION theirs() RETURNS TRIGGER LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
  await query('CREATE TRIGGER theirs BEFORE INSERT ON post_views FOR EACH ROW EXECUTE FUNCTION theirs()')
  await query(`ALTER DATABASE ${name} SET synchronous_commit = off`)
  assert.deepEqual(await found(), [
    ['post_view_totals (views)', 'unique key', null, 'there'],
    ['trigger theirs on post_views', 'trigger', null, 'there'],
    ['synchronous_commit', 'setting', 'on', 'off'],
  ])
})

test('a database that keeps a row for each host keeps every number', async t => {
  const { url } = await testPostgres()
  await keepsNumbersOfHosts(t, { url, query: (sql: string) => queryPostgres(url, sql) })
})

test('a database of the version before keeps who read from now on alone', async t => {
  const { url } = await testPostgres()
  await knowsReadersFromNowOn(t, { url, query: (sql: string) => queryPostgres(url, sql) })
})
