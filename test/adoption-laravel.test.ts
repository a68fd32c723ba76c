/** The second article's tables as Laravel's migrations make them, adopted like those of the article; and what stands in the way. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { StoreRefused } from '../packages/analytics/src/store/failures.ts'
import { openStore } from '../packages/analytics/src/store/open.ts'
import { dumpSchema } from '../packages/analytics/src/store/schema-dump.ts'
import { testMysql } from '../tools/stack/for-tests.ts'
import { assertVerified } from './store-contract-database.ts'
import { everythingIn } from './store-contract-recount.ts'
import { POST_VIEW_AGGREGATES, POST_VIEWS } from './support/article-sql.ts'
import { type Adoption, migratedStore, OLD, oldTables, RECENT, TODAY } from './support/article-tables.ts'
import { laravelTables } from './support/laravel-sql.ts'
import { createUser, otherSession, SETTINGS } from './support/mysql.ts'
import { record, view } from './support/views.ts'

const POSTS = ['0190a000-0000-7000-8000-00000000000a', 'ffffffff-aaaa-4bbb-8ccc-dddddddddddd']

/** Views of an old and of a recent day, of which some were counted twice. */
async function fill({ old }: Adoption): Promise<void> {
  for (const [index, day] of [OLD, RECENT, RECENT].entries()) {
    for (const [number, post] of POSTS.entries()) {
      // As a program may spell it; a native uuid is lower-cased by its server.
      const post_uuid = index === 1 ? post.toUpperCase() : post
      await old.consume({ post_uuid, timestamp: `${day} 1${number}:00:0${index}`, user_id: index || null })
    }
  }
  await old.count(POSTS[1]!, `${OLD} 12:00:00`)
}

async function filled(t: TestContext, tables: readonly string[]): Promise<Adoption> {
  const adoption = await oldTables(t, { tables })
  await fill(adoption)
  return adoption
}

async function onThisServer(t: TestContext) {
  return laravelTables(await otherSession(t, (await testMysql()).url))
}

test("tables of Laravel's migrations end in the columns and numbers that the article's own end in", async t => {
  const { tables } = await onThisServer(t)
  const [article, laravel] = [await filled(t, [POST_VIEWS, POST_VIEW_AGGREGATES]), await filled(t, tables)]
  const [expected, store] = [await article.adopt(), await laravel.adopt()]
  const period = { posts: POSTS, from: OLD, to: TODAY }
  assert.deepEqual(await everythingIn(store, period), await everythingIn(expected, period))
  assert.deepEqual(
    (await store.postTotals(POSTS)).map(({ views }) => views),
    [3, 4],
  )
  await assertVerified(store)
  // But for the names of the users' indexes.
  const columns = async ({ database }: Adoption) =>
    (await dumpSchema(database.url)).replaceAll(/^ {2}(?:UNIQUE )?INDEX .*\n/gm, '').replaceAll(',\n)', '\n)')
  assert.equal(await columns(laravel), await columns(article))
  assert.match(await columns(laravel), /^ {2}post_uuid char\(36\) COLLATE utf8mb4_bin NOT NULL/m)

  // The ids of other platforms fit in from now on.
  await record(store, [view(`${RECENT}T12:00:00Z`, { postUuid: '42' })])
  assert.equal((await store.postTotals(['42']))[0]?.views, 1)
  const read = await laravel.old.sql('SELECT post_uuid FROM post_views ORDER BY id LIMIT 2')
  assert.deepEqual(
    read.map(({ post_uuid }) => post_uuid),
    POSTS,
  )
  await assertVerified(store)
})

/** Of ours, that migrations change. */
const OWN_TABLES = [
  'post_view_migrations',
  'post_view_state',
  'post_view_day_keys',
  'post_view_totals',
  'post_view_visitors',
  'site_view_aggregates',
]

test('where the tables may not be changed, the refusal says what to run; afterwards it goes on', async t => {
  const { tables } = await onThisServer(t)
  const { database } = await filled(t, tables)
  const root = await otherSession(t, database.url)
  const { hostname, host } = new URL(database.url)
  const user = `${database.name}@'${hostname}'`
  await createUser(root.sql, user)
  await root.sql(`GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON ${database.name}.* TO ${user}`)
  for (const table of OWN_TABLES) {
    await root.sql(`GRANT CREATE, ALTER ON ${database.name}.${table} TO ${user}`)
  }
  const before = await dumpSchema(database.url)
  const store = await openStore(`mysql://${database.name}@${host}/${database.name}`, SETTINGS)
  t.after(() => store.close())
  let statements = ''
  await assert.rejects(store.migrate(), (error: Error) => {
    assert.ok(error instanceof StoreRefused)
    const said =
      /^post_views must be altered, but the user of DATABASE_URL lacks the privilege \(.*ER_TABLEACCESS_DENIED_ERROR \(1142\), at ALTER TABLE post_views\): have an administrator run these statements, then `postviews migrate` again: (.*)$/.exec(
        error.message,
      )
    statements = said?.[1] ?? error.message
    return true
  })
  assert.equal(await dumpSchema(database.url), before)
  assert.match(
    statements,
    /^ALTER TABLE post_views MODIFY post_uuid CHAR\(36\) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, .*; ALTER TABLE post_view_aggregates MODIFY post_uuid CHAR\(36\) /i,
  )
  for (const statement of statements.split('; ')) await root.sql(statement)
  await store.migrate()
  await store.checkSettings()
  assert.equal((await store.siteTotals()).views, 7)
  await assertVerified(store)
  await root.sql(`DROP USER ${user}`)
})

test('where a foreign key holds a column, the refusal says which to drop; afterwards it goes on', async t => {
  const { tables } = await onThisServer(t)
  const { database, adopt } = await filled(t, tables)
  const root = await otherSession(t, database.url)
  const [column] = await root.sql(
    `SELECT column_type AS type, collation_name AS collation FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'post_views' AND column_name = 'post_uuid'`,
  )
  const type = `${column!['type']} ${column!['collation'] === null ? '' : `COLLATE ${column!['collation']}`}`
  await root.sql(`CREATE TABLE posts (uuid ${type} NOT NULL PRIMARY KEY)`)
  await root.sql('INSERT INTO posts SELECT DISTINCT post_uuid FROM post_views')
  await root.sql(
    'ALTER TABLE post_views ADD CONSTRAINT `post_views-posts` FOREIGN KEY (post_uuid) REFERENCES posts (uuid)',
  )
  await root.sql('CREATE TABLE users (id BIGINT UNSIGNED PRIMARY KEY)')
  await root.sql('INSERT INTO users SELECT DISTINCT user_id FROM post_views WHERE user_id IS NOT NULL')
  await root.sql('ALTER TABLE post_views ADD CONSTRAINT stays FOREIGN KEY (user_id) REFERENCES users (id)')
  const before = await dumpSchema(database.url)
  const store = await openStore(database.url, SETTINGS)
  t.after(() => store.close())
  let statement = ''
  await assert.rejects(store.migrate(), (error: Error) => {
    assert.ok(error instanceof StoreRefused)
    const said =
      /^post_views must be altered, but a foreign key prevents it \(MySQL at .*\): run these statements, then `postviews migrate` again: (.*)$/.exec(
        error.message,
      )
    statement = said?.[1] ?? error.message
    return true
  })
  assert.equal(await dumpSchema(database.url), before)
  assert.equal(statement, 'ALTER TABLE `post_views` DROP FOREIGN KEY `post_views-posts`')
  await root.sql(statement)
  await assertVerified(await adopt())
})

test('a native uuid that may be null is refused like any other id', async t => {
  const { hasNativeUuid, tables } = await onThisServer(t)
  if (!hasNativeUuid) return
  const { database } = await oldTables(t, {
    tables: tables.map(table => table.replace('uuid not null', 'uuid null')),
  })
  const store = await openStore(database.url, SETTINGS)
  t.after(() => store.close())
  await assert.rejects(store.migrate(), /post_views\.post_uuid may be null/)
  await assert.rejects(migratedStore(t, database.url), StoreRefused)
})
