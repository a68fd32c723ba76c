/**
 * From the tables of version 1 on ClickHouse. test/upgrade/clickhouse-1 has what the release before left, with rows that came
 * twice, days rolled up, pruned, pruned in part and closed, settings that were replaced, and a batch that nobody has counted.
 */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, type TestContext, test } from 'node:test'
import { addressOf } from '../../packages/analytics/src/store/clickhouse/address.ts'
import { overAll } from '../../packages/analytics/src/store/clickhouse/connection.ts'
import type { CountingSettings, Store } from '../../packages/analytics/src/store/store.ts'
import { assertVerified } from '../store-contract-database.ts'
import { everythingIn, type Question } from '../store-contract-recount.ts'
import { clickhouseUrl, ownCluster, queryShard } from '../support/clickhouse.ts'
import { opened } from '../support/two-shards.ts'

const FOLDER = new URL('../upgrade/clickhouse-1/', import.meta.url)
const SETTINGS: CountingSettings = {
  timeZone: 'Europe/Berlin',
  windowHours: 12,
  uniqueBy: 'ip',
  bots: 'exclude',
}
const OLD_TABLES = `SELECT name FROM system.tables WHERE database = currentDatabase()
  AND match(name, '^(post|site)_view_(deliveries|visitors|figures|rolled_up|sums|settings|day_keys|leases|reach|referrers|minutes)$')`

const clusters = new Map([
  [1, ownCluster(1)],
  [2, ownCluster(2)],
])

function text(name: string): Promise<string> {
  return readFile(new URL(name, FOLDER), 'utf8')
}

const statementsOf = (sql: string) =>
  sql
    .replace(/^--.*$/gm, '')
    .split(/;\s*(?:\n|$)/)
    .filter(statement => statement.trim() !== '')

/** A database as the release before has left it. */
async function database(t: TestContext, shards: number) {
  const cluster = await clusters.get(shards)!()
  const name = await cluster.database()
  const url = clickhouseUrl(cluster, name)
  const schema = (await text('schema.sql')).replace(/\{\{all: (.*?)\}\}/gs, (_, select: string) =>
    overAll(
      select.replace(/\bpost_view_\w+/g, table => `${name}.${table}`),
      addressOf(url),
    ),
  )
  const onEach = async (sql: string) =>
    (await Promise.all(cluster.shards.map(shard => queryShard(shard, name, sql)))).flat()
  await onEach(
    'CREATE TABLE post_view_migrations (version UInt32, applied_at DateTime DEFAULT now()) ENGINE = MergeTree ORDER BY version',
  )
  for (const statement of statementsOf(schema)) await onEach(statement)
  await onEach('INSERT INTO post_view_migrations (version) VALUES (1)')
  const data = (await text(shards === 1 ? 'one-shard.sql' : 'two-shards.sql'))
    .split(/^-- shard \d+$/m)
    .slice(1)
  for (const [index, sql] of data.entries()) {
    for (const statement of statementsOf(sql)) await queryShard(cluster.shards[index]!, name, statement)
  }
  return { url, onEach, open: () => opened(t, url, SETTINGS) }
}

interface Answers {
  question: Question
  views: number
  progress: unknown
  everything: Record<string, unknown>
  daily: { date: string; hosts: unknown[] }[]
}

async function assertAnswers(store: Store): Promise<void> {
  const answers = JSON.parse(await text('answers.json')) as Answers
  const { minutes: _, ...everything } = await everythingIn(store, answers.question)
  assert.deepEqual(everything, answers.everything)
  for (const { date, hosts } of answers.daily)
    assert.deepEqual((await store.referrers(null, date, date, 100)).referrers, hosts, date)
  assert.deepEqual(await store.progress(), answers.progress)
}

for (const shards of clusters.keys()) {
  describe(`from version 1 on ${shards === 1 ? 'a lone server' : `${shards} shards`}`, () => {
    test('every number stays what it was, and adds up', async t => {
      const { open, onEach } = await database(t, shards)
      const store = await open()
      await store.migrate()
      await store.checkSettings(['blog.example'])
      await assertAnswers(store)
      await assertVerified(store)
      assert.deepEqual(await onEach(OLD_TABLES), [])
    })
  })
}
