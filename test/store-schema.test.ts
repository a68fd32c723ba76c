/** Exact counting depends on unique keys in the database. `verify` names keys that are gone, and ids that were counted twice since. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, type TestContext, test } from 'node:test'
import { openStore } from '../packages/analytics/src/store/open.ts'
import { keysThatDiffer } from '../packages/analytics/src/store/sql/schema-check.ts'
import { expectedKeys } from '../packages/analytics/src/store/sqlite/schema.ts'
import type { Difference } from '../packages/analytics/src/store/store.ts'
import { commandLine } from './support/command.ts'
import { ENGINES, MYSQL, SQLITE, type TestDatabase, type TestEngine } from './support/engines.ts'
import { SETTINGS } from './support/mysql.ts'
import { record, view } from './support/views.ts'

const NOON = '2026-03-10T12:00:00Z'
const ID = '0190a000-0000-7000-8000-000000000001'

async function counting(t: TestContext, engine: TestEngine) {
  const database = await engine.create(t)
  const store = await openStore(database.url, SETTINGS)
  t.after(() => store.close())
  await store.migrate()
  await record(store, [view(NOON, { eventId: ID }), view(NOON)])
  const found = async () => {
    const differences: Difference[] = []
    await store.verify(difference => differences.push(difference))
    return differences.map(({ kind, name, field, expected, found }) => [kind, name, field, expected, found])
  }
  return { database, store, found }
}

/** One row more with that id, as a delivery that nothing tells from the first. */
async function repeat({ query }: TestDatabase, times = 1): Promise<void> {
  const columns =
    'event_id, post_uuid, user_id, ip, user_agent, viewed_at, received_at, day, slice, logged_in, bot, visitor, referer_host'
  for (let time = 0; time < times; time++) {
    await query(
      `INSERT INTO post_views (${columns}) SELECT ${columns} FROM post_views WHERE event_id IS NOT NULL LIMIT 1`,
    )
  }
}

/** The table that holds the raw rows. */
const ROWS = { sqlite: 'post_view_rows', mysql: 'post_views' }
const ID_KEY = { sqlite: 'event_id WHERE event_id IS NOT NULL', mysql: 'event_id' }
const ID_ROWS = { sqlite: 'WHERE event_id IS NOT NULL', mysql: '' }
const DROP_ID_KEY = {
  sqlite: 'DROP INDEX uq_event_id',
  mysql: 'DROP INDEX uq_event_id ON post_views',
}

for (const engine of ENGINES) {
  describe(`on ${engine.name}, verify`, () => {
    test('names the key of ids when it is gone, and every id that counts twice since', async t => {
      const { database, found } = await counting(t, engine)
      assert.deepEqual(await found(), [])
      await database.query(DROP_ID_KEY[engine.kind])
      const missing = [
        'schema',
        `${ROWS[engine.kind]} (${ID_KEY[engine.kind]})`,
        'unique key',
        'there',
        'missing',
      ]
      assert.deepEqual(await found(), [missing])
      await repeat(database, 2)
      const differences = await found()
      const ids = differences.filter(([kind]) => kind === 'id')
      const repeated = await database.query('SELECT LOWER(HEX(event_id)) AS id FROM post_views LIMIT 1')
      assert.deepEqual(differences[0], missing)
      assert.deepEqual(ids, [['id', `id ${uuid(String(repeated[0]!['id']))}`, 'rows', 1, 3]])
    })

    test('takes no other index for the key', async t => {
      const { database, found } = await counting(t, engine)
      await database.query(DROP_ID_KEY[engine.kind])
      await database.query(
        `CREATE INDEX uq_event_id ON ${ROWS[engine.kind]} (event_id) ${ID_ROWS[engine.kind]}`,
      )
      assert.equal((await found())[0]?.[4], 'missing')
    })

    test('names a key of somebody else that refuses good views, and lets other indexes be', async t => {
      const { database, found } = await counting(t, engine)
      await database.query(`CREATE INDEX their_index ON ${ROWS[engine.kind]} (user_id)`)
      await database.query('CREATE UNIQUE INDEX their_key ON post_view_totals (post_uuid, views)')
      assert.deepEqual(await found(), [])
      await database.query('CREATE UNIQUE INDEX their_other ON post_view_totals (views)')
      assert.deepEqual(await found(), [['schema', 'post_view_totals (views)', 'unique key', null, 'there']])
    })

    test('names a table that is gone', async t => {
      const { database, found } = await counting(t, engine)
      await database.query('DROP TABLE site_view_minutes')
      assert.deepEqual(await found(), [['schema', 'site_view_minutes', 'table', 'there', 'missing']])
    })

    test('ends with 1, and says that rebuild does not help; what the manual says does', async t => {
      const { database, store, found } = await counting(t, engine)
      await database.query(DROP_ID_KEY[engine.kind])
      await repeat(database)
      const { run } = await commandLine(t, { DATABASE_URL: database.url, UNIQUE_BY: SETTINGS.uniqueBy })
      const { code, stdout } = await run('verify')
      assert.equal(code, 1)
      assert.match(
        stdout,
        /^schema: post_view(s|_rows) \(event_id.*\): unique key is missing, must be there$/m,
      )
      assert.match(stdout, /^id: id [0-9a-f-]{36}: rows is 2, must be 1$/m)
      assert.match(
        stdout,
        /except the 2 of the schema and of ids: see docs\/operations\.md, "Verify and rebuild"$/m,
      )
      for (const statement of manual(engine.name)) await database.query(statement)
      await store.rebuild({ adoptSettings: false })
      assert.deepEqual(await found(), [])
      const [total] = await database.query('SELECT SUM(views) AS views FROM post_view_totals')
      assert.equal(Number(total!['views']), 2)
    })
  })
}

test('on SQLite, verify names every trigger on a table of ours', async t => {
  const { database, found } = await counting(t, SQLITE)
  for (const table of ['post_view_rows', 'post_view_totals']) {
    await database.query(`CREATE TRIGGER theirs AFTER INSERT ON ${table} BEGIN SELECT 1; END`)
    assert.deepEqual(await found(), [['schema', `trigger theirs on ${table}`, 'trigger', null, 'there']])
    await database.query('DROP TRIGGER theirs')
  }
  await database.query('CREATE TRIGGER theirs INSTEAD OF DELETE ON post_views BEGIN SELECT 1; END')
  assert.deepEqual(await found(), [['schema', 'trigger theirs on post_views', 'trigger', null, 'there']])
})

test('on SQLite, verify names a view or trigger of ours that is gone or another, and migrate makes it again', async t => {
  const { database, store, found } = await counting(t, SQLITE)
  await database.query('DROP TRIGGER post_views_update')
  await database.query('DROP VIEW post_view_unpacked')
  await database.query(
    'CREATE VIEW post_view_unpacked AS SELECT 1 AS post_uuid, 2 AS id, 3 AS post_uuid_number WHERE 0',
  )
  const differing = (name: string, found: string) => [
    'schema',
    name,
    'definition',
    'as made by migrate',
    found,
  ]
  assert.deepEqual(
    (await found()).filter(([kind]) => kind === 'schema'),
    [
      differing('post_views_update', 'missing'),
      differing('post_view_unpacked', 'another'),
      differing('post_view_unpacked_insert', 'missing'),
      differing('post_view_unpacked_delete', 'missing'),
    ],
  )
  await store.migrate()
  assert.deepEqual(await found(), [])
})

test('on SQLite, a key that takes two ids for one is another key', async () => {
  const expected = await expectedKeys()
  const found = new Map(expected).set('post_view_totals', new Set(['post_uuid COLLATE NOCASE']))
  const adopted = new Set<string>()
  assert.deepEqual(
    keysThatDiffer({ expected, found, adopted }).map(({ name, found }) => [name, found]),
    [
      ['post_view_totals (post_uuid)', 'missing'],
      ['post_view_totals (post_uuid COLLATE NOCASE)', 'there'],
    ],
  )
})

test(`on ${MYSQL.name}, verify names a key of the first characters, another engine and another collation`, async t => {
  const { database, found } = await counting(t, MYSQL)
  await database.query('ALTER TABLE post_view_totals DROP PRIMARY KEY, ADD PRIMARY KEY (post_uuid(8))')
  await database.query('ALTER TABLE site_view_minutes ENGINE = MyISAM')
  await database.query(
    'ALTER TABLE post_view_breakdowns MODIFY post_uuid CHAR(36) COLLATE utf8mb4_general_ci NOT NULL',
  )
  assert.deepEqual(
    (await found()).filter(([kind]) => kind === 'schema'),
    [
      ['schema', 'post_view_totals (post_uuid)', 'unique key', 'there', 'missing'],
      ['schema', 'post_view_totals (post_uuid(8))', 'unique key', null, 'there'],
      ['schema', 'site_view_minutes', 'engine', 'InnoDB', 'MyISAM'],
      ['schema', 'post_view_breakdowns.post_uuid', 'collation', 'utf8mb4_bin', 'utf8mb4_general_ci'],
    ],
  )
})

test(`on ${MYSQL.name}, verify names triggers that have a say in what is counted, and lets those of users be`, async t => {
  const { database, found } = await counting(t, MYSQL)
  await database.query('CREATE TABLE theirs (posts INT)')
  await database.query('ALTER TABLE post_views ADD COLUMN own_note INT NULL')
  const trigger = (name: string, when: string, table: string, body: string) =>
    database.query(`CREATE TRIGGER ${name} ${when} ON ${table} FOR EACH ROW ${body}`)
  await trigger('t1_own', 'AFTER INSERT', 'post_views', 'INSERT INTO theirs VALUES (1)')
  await trigger('t2_own', 'BEFORE INSERT', 'post_views', 'SET NEW.own_note = 1')
  assert.deepEqual(await found(), [])
  await trigger(
    't3_counts',
    'AFTER INSERT',
    'post_views',
    'UPDATE post_view_aggregates SET view_count = view_count + 1',
  )
  await trigger('t4_sets', 'BEFORE INSERT', 'post_views', 'SET NEW.`bot` = 0')
  await trigger('t5_ours', 'AFTER INSERT', 'post_view_visitors', 'INSERT INTO theirs VALUES (1)')
  assert.deepEqual(
    (await found()).map(([, name]) => name),
    [
      'trigger t3_counts on post_views',
      'trigger t4_sets on post_views',
      'trigger t5_ours on post_view_visitors',
    ],
  )
})

function uuid(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** The statements that the manual gives for this engine. */
function manual(engine: TestEngine['name']): string[] {
  const text = readFileSync(new URL('../docs/operations.md', import.meta.url), 'utf8')
  const block = new RegExp(
    `^-- (?:\\w+, )*${engine}(?:, \\w+)*: one row of each id\\n(.*?)^\`\`\``,
    'ms',
  ).exec(text)?.[1]
  assert.ok(block, `the manual has statements for ${engine}`)
  return block
    .split(';')
    .map(statement => statement.trim())
    .filter(statement => statement !== '')
}
