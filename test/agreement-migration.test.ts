/** Databases that a version before made: they tell nothing of the zone rules that their days were counted by. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { CountingSettings } from '../packages/analytics/src/store/counting-settings.ts'
import { StoreRefused } from '../packages/analytics/src/store/failures.ts'
import { openStore } from '../packages/analytics/src/store/open.ts'
import type { Store } from '../packages/analytics/src/store/store.ts'
import { NEWEST_RULES } from '../packages/analytics/src/store/zone-rules.ts'
import { assertVerified } from './store-contract-database.ts'
import { questionOf, randomOf, randomViews } from './store-contract-random.ts'
import { everythingIn } from './store-contract-recount.ts'
import { atEnd } from './support/at-end.ts'
import { ENGINES, SQLITE, type TestDatabase } from './support/engines.ts'
import { keepsNumbersOfHosts, undoBreakdowns } from './support/undo-breakdowns.ts'
import { undoNumbers } from './support/undo-numbers.ts'
import { keepsNumbers, knowsReadersFromNowOn } from './support/undo-who.ts'
import { received, record, view } from './support/views.ts'
import { RULES_2026C, WINNIPEG } from './support/zone-rules.ts'

const SETTINGS: CountingSettings = { timeZone: WINNIPEG, windowHours: 6, uniqueBy: 'ip', bots: 'count' }
const IN_SUMMER = '2026-07-15T12:00:00Z'
/** On another day by the rules of 2026c than by those of now; the second came first. */
const AFTER_MIDNIGHT = ['2026-11-20T05:30:00Z', '2026-11-15T05:30:00Z'] as const

const VIEWS = randomViews(randomOf(9), 250)
const QUESTION = questionOf(VIEWS)

async function storeOn(t: TestContext, database: TestDatabase, rules = NEWEST_RULES): Promise<Store> {
  const store = await openStore(database.url, SETTINGS, { rules })
  atEnd(t, () => store.close())
  return store
}

/** Nothing of migration 4 is there. */
async function undoReopening({ query }: TestDatabase): Promise<void> {
  for (const column of ['reopening', 'rows_until', 'walked_time', 'walked_id']) {
    await query(`ALTER TABLE post_view_day_keys DROP COLUMN ${column}`)
  }
  await query('DROP TABLE post_view_reopened')
  await query('DROP TABLE post_view_id_marks')
}

/** As the version that made the first databases had left it: nothing of migration 2 is there, nor of those after it. */
async function undoAgreement(database: TestDatabase): Promise<void> {
  const { query } = database
  await undoBreakdowns(database)
  await undoReopening(database)
  await query('ALTER TABLE post_view_state RENAME COLUMN stats_timezone TO time_zone')
  for (const column of [
    'agreement',
    'rules_source',
    'rules_release',
    'rules_until',
    'rules_changes',
    ...SETTLED,
  ]) {
    await query(`ALTER TABLE post_view_state DROP COLUMN ${column}`)
  }
  await query('DROP TABLE post_view_site_hosts')
  await query('DELETE FROM post_view_migrations WHERE version >= 2')
}

const SETTLED = ['settled_until', 'bounded_until']

/** As the version left it that knew whole addresses alone: nothing of migration 5 is there, nor of those after it. */
async function undoSettled(database: TestDatabase): Promise<void> {
  const { query } = database
  await undoBreakdowns(database)
  for (const column of SETTLED) await query(`ALTER TABLE post_view_state DROP COLUMN ${column}`)
  await query('DELETE FROM post_view_migrations WHERE version >= 5')
}

async function recordedRelease({ query }: TestDatabase): Promise<unknown> {
  const [row] = await query('SELECT rules_release FROM post_view_state')
  return row!['rules_release']
}

for (const engine of ENGINES) {
  test(`a database of the version before keeps every number, on ${engine.name}`, async t => {
    const database = await engine.create(t)
    const before = await storeOn(t, database)
    await before.migrate()
    await record(before, VIEWS)
    const answers = await everythingIn(before, QUESTION)
    await undoAgreement(database)

    const store = await storeOn(t, database)
    const old = { constructor: StoreRefused, message: /version 1.*needs \d.*postviews migrate/ }
    await assert.rejects(store.checkSettings(), old)
    const steps: string[] = []
    assert.deepEqual(await store.migrate(step => steps.push(step)), { replaced: [] })
    assert.ok(steps.includes('days by zone rules'))
    assert.equal(await recordedRelease(database), NEWEST_RULES.release)
    await keepsNumbers(store, QUESTION, answers)
    await record(store, [view(IN_SUMMER)])

    // A consumer of that version reads the state with every batch.
    await assert.rejects(database.query('SELECT time_zone FROM post_view_state'), /time_zone/)
  })

  test(`a database that keeps a row for each host keeps every number, on ${engine.name}`, async t => {
    await keepsNumbersOfHosts(t, await engine.create(t))
  })

  test(`a database of the version before keeps who read from now on alone, on ${engine.name}`, async t => {
    await knowsReadersFromNowOn(t, await engine.create(t))
  })

  test(`a consumer that knows nothing of days being opened again stops before its next batch, on ${engine.name}`, async t => {
    const database = await engine.create(t)
    const older = await storeOn(t, database)
    await older.migrate()
    await record(older, [view(IN_SUMMER)])
    await undoSettled(database)
    await undoReopening(database)
    await database.query('DELETE FROM post_view_migrations WHERE version >= 4')

    const newer = await storeOn(t, database)
    await newer.migrate()
    await assert.rejects(record(older, [view(IN_SUMMER)]), StoreRefused)
    await record(newer, [view(IN_SUMMER)])
    assert.equal((await newer.siteTotals()).views, 2)
    await assertVerified(newer)
  })

  test(`a database of the version before, by other rules, waits for an adoption, on ${engine.name}`, async t => {
    const database = await engine.create(t)
    const before = await storeOn(t, database, RULES_2026C)
    await before.migrate()
    await record(before, [view(AFTER_MIDNIGHT[0])])
    // More than are looked at together.
    for (let batch = 0; batch < 5; batch++) {
      await record(
        before,
        Array.from({ length: 4_500 }, (_, index) => view(IN_SUMMER, { ip: `192.0.2.${index % 50}` })),
      )
    }
    await record(before, [view(AFTER_MIDNIGHT[1]), view('2026-11-15T18:00:00Z')])
    await undoAgreement(database)

    const store = await storeOn(t, database)
    const differs = {
      constructor: StoreRefused,
      message: new RegExp(
        `does not record.*${NEWEST_RULES.release}.*${AFTER_MIDNIGHT[1]}.*rebuild --adopt-settings`,
      ),
    }
    await assert.rejects(store.migrate(), differs)
    await assert.rejects(store.migrate(), differs)
    assert.equal(await recordedRelease(database), null)
    const unknown = { constructor: StoreRefused, message: /does not record.*postviews migrate/ }
    await assert.rejects(store.checkSettings(), unknown)
    await assert.rejects(record(store, [view(IN_SUMMER)]), unknown)

    assert.equal((await store.rebuild({ adoptSettings: true })).firstDay, null)
    await store.migrate()
    await store.checkSettings()
    await record(store, [view(AFTER_MIDNIGHT[1])])
    assert.deepEqual(
      (await store.siteDays('2026-11-14', '2026-11-20')).map(({ date, views }) => [date, views]),
      [
        ['2026-11-15', 3],
        ['2026-11-20', 1],
      ],
    )
    await assertVerified(store)
  })

  test(`a view that only lies in another window waits for an adoption too, on ${engine.name}`, async t => {
    const database = await engine.create(t)
    const before = await storeOn(t, database, RULES_2026C)
    await before.migrate()
    // Half past eleven by the rules of 2026c, half past twelve by the law: of the same day.
    await record(before, [view('2026-11-15T17:30:00Z')])
    await undoAgreement(database)
    const store = await storeOn(t, database)
    await assert.rejects(store.migrate(), { constructor: StoreRefused, message: /2026-11-15T17:30:00Z/ })
    await store.rebuild({ adoptSettings: true })
    await assertVerified(store)
  })

  test(`a migration that is ended while it looks at days goes on at the next start, on ${engine.name}`, async t => {
    const database = await engine.create(t)
    const before = await storeOn(t, database)
    await before.migrate()
    await record(before, VIEWS)
    await undoAgreement(database)
    const store = await storeOn(t, database)
    const ended = new Error('a signal came')
    await assert.rejects(
      store.migrate(step => {
        if (step === 'days by zone rules') throw ended
      }),
      ended,
    )
    assert.equal(await recordedRelease(database), null)
    await store.migrate()
    await store.checkSettings()
    await assertVerified(store)
  })

  test(`a database of the version before tells readers apart by whole addresses, on ${engine.name}`, async t => {
    const database = await engine.create(t)
    const before = await storeOn(t, database)
    await before.migrate()
    const readers = ['2001:db8::1', '2001:db8::2'].map(ip => view(IN_SUMMER, { ip }))
    await record(before, readers)
    const batch = received(readers)
    await undoSettled(database)

    // UNIQUE_BY is not set.
    const store = await openStore(database.url, { ...SETTINGS, uniqueBy: null })
    atEnd(t, () => store.close())
    await store.migrate()
    assert.equal(store.settings.uniqueBy, 'ip')
    await record(store, [view(IN_SUMMER, { ip: '2001:db8::3' })])
    assert.equal((await store.siteTotals()).unique_views, 3)
    await assertVerified(store)
    // A consumer of that version would add hosts to days that are settled.
    await assert.rejects(before.recordViews(batch), StoreRefused)

    const networks = await openStore(database.url, { ...SETTINGS, uniqueBy: 'network' })
    atEnd(t, () => networks.close())
    const differs = /UNIQUE_BY is network, but the database records ip.*--adopt-settings/
    await assert.rejects(networks.checkSettings(), { constructor: StoreRefused, message: differs })
    await networks.rebuild({ adoptSettings: true })
    assert.equal((await networks.siteTotals()).unique_views, 1)
    await assertVerified(networks)
  })
}

test('a database that keeps texts in its rows keeps every number and every id, on SQLite', async t => {
  const database = await SQLITE.create(t)
  const older = await storeOn(t, database)
  await older.migrate()
  await record(older, VIEWS)
  // Retention has removed the last row: its id must not be given again.
  const [last] = await database.query('SELECT MAX(id) AS id FROM post_views')
  await record(older, [view(IN_SUMMER)])
  await database.query('DELETE FROM post_views WHERE id = (SELECT MAX(id) FROM post_views)')
  await older.rebuild({ adoptSettings: false })
  const answers = await everythingIn(older, QUESTION)
  const columns =
    'id, post_uuid, user_id, ip, user_agent, referer, viewed_at, hex(event_id), received_at, day, slice, logged_in, bot, hex(visitor), referer_host'
  const tables = () =>
    Promise.all([
      database.query(`SELECT ${columns} FROM post_views ORDER BY id`),
      database.query(
        'SELECT day, post_uuid, slice, hex(visitor) FROM post_view_visitors ORDER BY 1, 2, 3, 4',
      ),
      database.query('SELECT post_uuid, id FROM post_view_unpacked ORDER BY 1, 2'),
    ])
  const rows = await tables()
  await undoNumbers(database)
  assert.deepEqual(await tables(), rows)

  const newer = await storeOn(t, database)
  await newer.migrate()
  // It would insert into tables that are views now.
  await assert.rejects(record(older, [view(IN_SUMMER)]), StoreRefused)
  assert.deepEqual(await tables(), rows)
  await keepsNumbers(newer, QUESTION, answers)
  // A redelivered view is still known, and the id of the removed row is not given again.
  assert.equal(
    (
      await record(
        newer,
        VIEWS.filter(({ eventId }) => eventId !== null),
      )
    ).counted,
    0,
  )
  await record(newer, [view(IN_SUMMER)])
  const [next] = await database.query('SELECT MAX(id) AS id FROM post_views')
  assert.ok(Number(next!['id']) > Number(last!['id']) + 1)
})
