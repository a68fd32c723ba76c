/** Adoption that is killed, itself or its server, however often, ends in what it would have ended in. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import type { CountingSettings } from '../../packages/analytics/src/store/counting-settings.ts'
import { addDays } from '../../packages/analytics/src/store/days.ts'
import { openStore } from '../../packages/analytics/src/store/open.ts'
import { testMysql } from '../../tools/stack/for-tests.ts'
import { startMysql } from '../../tools/stack/mysql.ts'
import { assertVerified } from '../store-contract-database.ts'
import { everythingIn } from '../store-contract-recount.ts'
import { oldConsumer } from '../support/article-tables.ts'
import { laravelTables } from '../support/laravel-sql.ts'
import { numbersTo, otherSession } from '../support/mysql.ts'
import { unix } from '../support/views.ts'

const MIGRATING = join(import.meta.dirname, '../support/migrating-process.ts')
const SETTINGS: CountingSettings = {
  timeZone: 'Europe/Warsaw',
  windowHours: 6,
  uniqueBy: 'ip',
  bots: 'count',
}
const TODAY = new Date().toISOString().slice(0, 10)
// Its days are partly over and partly open.
const FIRST = addDays(TODAY, -36)
const ROWS = 12_000

/** The tables, and 20 posts, by a number from 0. */
interface Old {
  tables?: readonly string[]
  posts: readonly string[]
  /** Its id as SQL. */
  idOf(number: string): string
}

const SPELT: Old = {
  posts: Array.from({ length: 20 }, (_, index) => `POST-${index}`),
  idOf: number => `CONCAT('POST-', ${number})`,
}

const UUID = '0190a000-0000-7000-8000-0000000000'
const UUIDS: Old = {
  posts: Array.from({ length: 20 }, (_, index) => `${UUID}${String(index).padStart(2, '0')}`),
  idOf: number => `CONCAT('${UUID}', LPAD(${number}, 2, '0'))`,
}

/** Rows of ten days, counted on the days of UTC, of which some counts are missing. */
async function fill(t: TestContext, url: string, { tables, idOf }: Old = SPELT): Promise<void> {
  const { sql } = await oldConsumer(t, url, tables && { tables })
  await sql(
    `INSERT INTO post_views (post_uuid, user_id, ip, user_agent, referer, viewed_at)
     SELECT ${idOf('seq % 20')}, IF(seq % 3 = 0, seq % 70, NULL), CONCAT('192.0.2.', seq % 90),
            ELT(seq % 4 + 1, 'Mozilla/5.0 (X11; Linux x86_64)', 'Googlebot/2.1', NULL, 'curl/8.0'),
            IF(seq % 5 = 0, CONCAT('https://host-', seq % 7, '.example/', seq), NULL),
            FROM_UNIXTIME(? + seq * 72)
     FROM ${numbersTo(ROWS)}`,
    [unix(`${FIRST}T00:00:00Z`)],
  )
  await sql(
    `INSERT INTO post_view_aggregates (post_uuid, date, view_count)
     SELECT post_uuid, DATE(viewed_at), COUNT(*) FROM post_views
     WHERE id % 501 <> 0 GROUP BY post_uuid, DATE(viewed_at)`,
  )
}

/** Migrates in a process of its own, and runs `atLine` after so many of its lines. True when it came to its end. */
async function migrating(
  url: string,
  lines: number,
  atLine: (kill: () => void) => unknown,
): Promise<boolean> {
  const child = spawn(process.execPath, [MIGRATING], {
    env: { ...process.env, DATABASE_URL: url, SETTINGS: JSON.stringify(SETTINGS) },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = once(child, 'close')
  let seen = 0
  let isDone = false
  for await (const line of createInterface({ input: child.stdout })) {
    isDone ||= line === 'done'
    if (++seen === lines) await atLine(() => child.kill('SIGKILL'))
  }
  await closed
  return isDone
}

async function everything(t: TestContext, url: string, { posts }: Old = SPELT) {
  const store = await openStore(url, SETTINGS)
  t.after(() => store.close())
  await store.checkSettings()
  await assertVerified(store)
  const { views, details_since } = await store.siteTotals()
  assert.ok(views! > ROWS - 100 && views! < ROWS)
  assert.notEqual(details_since, undefined)
  return everythingIn(store, { posts, from: addDays(FIRST, -1), to: TODAY })
}

for (const maker of ['the article', "Laravel's migrations"]) {
  test(`of tables as ${maker} made them, killed at one step after the other: it ends in the same numbers`, async t => {
    const [whole, killed] = [await testMysql(), await testMysql()]
    const old =
      maker === 'the article'
        ? SPELT
        : { ...UUIDS, ...(await laravelTables(await otherSession(t, whole.url))) }
    await fill(t, whole.url, old)
    await fill(t, killed.url, old)
    let steps = 0
    assert.ok(await migrating(whole.url, 1, () => {}))
    const expected = await everything(t, whole.url, old)

    // Each run is killed a step further on than the one before, as far as there are steps.
    while (!(await migrating(killed.url, ++steps, kill => kill()))) {
      assert.ok(steps < 200, 'it never came to an end')
    }
    assert.ok(steps > 8, `it was killed ${steps - 1} times`)
    assert.deepEqual(await everything(t, killed.url, old), expected)
  })
}

test('its server killed in the middle, it ends in the same numbers', async t => {
  const whole = await testMysql()
  await fill(t, whole.url)
  assert.ok(await migrating(whole.url, 1, () => {}))
  const expected = await everything(t, whole.url)

  const server = await startMysql()
  t.after(() => server.stop())
  const { url } = await server.database()
  await fill(t, url)
  // Tables, then rows, then days.
  for (const line of [1, 6, 12]) {
    assert.equal(await migrating(url, line, () => server.kill()).catch(() => false), false)
    await server.restart()
  }
  assert.ok(await migrating(url, 1, () => {}))
  assert.deepEqual(await everything(t, url), expected)
})
