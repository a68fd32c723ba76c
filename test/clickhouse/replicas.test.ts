/** Shards with replicas, as far as they can be shown here: test/support/replicas.ts. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shardOf } from '../../packages/analytics/src/store/clickhouse/record.ts'
import { addDays } from '../../packages/analytics/src/store/days.ts'
import { StoreRefused, StoreUnavailable } from '../../packages/analytics/src/store/failures.ts'
import { assertVerified } from '../store-contract-database.ts'
import { queryShard } from '../support/clickhouse.ts'
import { ownReplicated, twoReplicated } from '../support/replicas.ts'
import { opened } from '../support/two-shards.ts'
import { record, unix, untilAvailable, view } from '../support/views.ts'

const create = twoReplicated()
const DAY = '2026-03-10'
const NOON = `${DAY}T12:00:00Z`
const POSTS = ['a', 'b', 'c', 'd', 'e', 'f']
const ON_BOTH = POSTS.map(postUuid => view(NOON, { postUuid }))
const LATER = POSTS.map(postUuid => view(`${DAY}T14:00:00Z`, { postUuid }))

test('of what is in the way of the rest: tables are made replicated, and a later migration says that they are read-only', async t => {
  const { cluster, directUrl } = await ownReplicated(1)()
  const database = await cluster.database()
  const store = await opened(t, directUrl(database))
  // This build replicates nothing: a replicated table can be made, and be neither altered nor written to.
  await assert.rejects(store.migrate(), /TABLE_IS_READ_ONLY \(242\)/)
  const sql = (statement: string) => queryShard(cluster.shards[0]!, database, statement)
  const tables = await sql(
    `SELECT name, engine FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree%' ORDER BY name`,
  )
  assert.deepEqual(
    tables.filter(({ engine }) => !String(engine).startsWith('Replicated')),
    [{ name: 'post_view_migrations', engine: 'MergeTree' }],
  )
  assert.equal(tables.length, 12)
  assert.deepEqual(
    await sql(
      `SELECT zookeeper_path, replica_name, is_readonly FROM system.replicas WHERE database = currentDatabase() AND table = 'post_view_rows'`,
    ),
    [{ zookeeper_path: `/postviews/${database}/1/post_view_rows`, replica_name: 'first', is_readonly: 1 }],
  )
  assert.deepEqual(
    await sql(
      `SELECT engine FROM system.tables WHERE name = 'post_view_claims' AND database = currentDatabase()`,
    ),
    [{ engine: 'KeeperMap' }],
  )
})

test('goes on with the other replica where one is away, from the start and at work', async t => {
  const { url, replicas, open, store } = await create(t)
  await record(store, ON_BOTH)
  for (const shard of replicas) await shard[0]!.leave()
  await untilAvailable(() => record(store, ON_BOTH))
  await untilAvailable(() => store.roll!())
  const late = await open(url)
  assert.equal((await untilAvailable(() => late.siteTotals())).views, ON_BOTH.length)
  await assertVerified(late)
  for (const shard of replicas) {
    await shard[0]!.comeBack()
    await shard[1]!.leave()
  }
  await untilAvailable(() => record(store, [view(NOON, { postUuid: 'g' })]))
  await untilAvailable(() => store.roll!())
  assert.equal((await untilAvailable(() => store.siteTotals())).views, ON_BOTH.length + 1)
  for (const shard of replicas) await shard[1]!.comeBack()
})

test('Keeper tells who was first, and keeps no key of a day that is closed', async t => {
  const { servers, database, open, store } = await create(t)
  const stores = await Promise.all(Array.from({ length: 6 }, () => open()))
  // Each would make the key of the day, and take the next stamp.
  await Promise.all(stores.map((each, index) => record(each, [view(NOON, { postUuid: `p-${index}` })])))
  await Promise.all(stores.map(each => untilAvailable(() => each.roll!())))
  await assertVerified(store)
  const sql = (statement: string) => queryShard(servers.shards[0]!, database, statement)
  const key = `1 key ${DAY} 1`
  const [made] = await sql(`SELECT length(value) AS digits FROM post_view_claims WHERE key = '${key}'`)
  assert.deepEqual(made, { digits: 64 })
  assert.deepEqual(
    await sql(`SELECT number, count() AS holders FROM (
      SELECT DISTINCT number, value FROM post_view_agreed WHERE name IN ('stamp', 'key ${DAY}')
    ) GROUP BY number HAVING holders > 2`),
    [],
  )
  await store.prune({ now: unix(`${addDays(DAY, 9)}T00:00:00Z`), rawRetentionDays: 0, maxAgeSeconds: 86_400 })
  assert.deepEqual(await sql(`SELECT value FROM post_view_claims WHERE key = '${key}'`), [{ value: '' }])
})

test('counts a block that is committed late under a lower number', async t => {
  const { servers, database, store } = await create(t)
  await record(store, ON_BOTH)
  await store.roll!()
  // As if what has a greater number had come already.
  for (const shard of servers.shards) {
    await queryShard(
      shard,
      database,
      'INSERT INTO post_view_counted SELECT hour, arrayConcat(blocks, [(1000, 1001)]), stamp FROM post_view_counted',
    )
  }
  await record(
    store,
    ON_BOTH.map(each => ({ ...each, eventId: crypto.randomUUID() })),
  )
  await store.roll!()
  assert.deepEqual(
    (await store.postTotals(POSTS)).map(({ views }) => views),
    POSTS.map(() => 2),
  )
})

test('takes the stamp of a roll after it has listed what is to be counted', async t => {
  const { url, replicas, open, store } = await create(t)
  // The same by the other replicas.
  const another = await open(url.replace(/127\.0\.0\.1:\d+,(127\.0\.0\.1:\d+)/g, '$1'))
  await record(store, ON_BOTH)
  for (const shard of replicas) {
    shard[0]!.before('post_view_counted FINAL', async () => {
      await another.roll!()
      // Of the same days, in another hour.
      await record(another, LATER)
    })
  }
  await store.roll!()
  await store.roll!()
  assert.equal((await store.siteTotals()).views, ON_BOTH.length + LATER.length)
  await assertVerified(store)
})

test('sums up days under a stamp that was taken after they were written', async t => {
  const { url, replicas, open, store } = await create(t)
  const another = await open(url.replace(/127\.0\.0\.1:\d+,(127\.0\.0\.1:\d+)/g, '$1'))
  const [one, other] = POSTS.filter(post => shardOf(post, 2) === 0)
  const [first, second] = replicas[0]!
  const [atDays, isDead] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  await record(store, [view(NOON, { postUuid: one! })])
  let rolling: Promise<unknown> | undefined
  // It has listed the one view, and takes the later stamp; the days of both are not written yet when it sums up, and then it dies.
  second!.before('max(number) AS latest', async () => {
    await record(store, [view(`${DAY}T14:00:00Z`, { postUuid: other! })])
    first!.before('INSERT INTO post_view_days', async () => {
      atDays.resolve()
      await isDead.promise
    })
    rolling = store.roll!()
    await atDays.promise
    second!.before('INSERT INTO post_view_counted', () => Promise.reject(new Error('it dies')))
  })
  await assert.rejects(another.roll!(), StoreUnavailable)
  isDead.resolve()
  await rolling
  while (await store.roll!());
  assert.equal((await store.siteTotals()).views, 2)
  await assertVerified(store)
})

test('refuses several hosts of a shard that has no replicas', async t => {
  const { url, open } = await create(t)
  const alone = await open(url.replace(/cluster=\w+/, 'cluster=postviews'))
  await assert.rejects(alone.checkSettings(), {
    constructor: StoreRefused,
    message: /several hosts of shard 1/,
  })
})
