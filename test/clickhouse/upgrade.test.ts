/**
 * From the tables of version 1 on ClickHouse. test/upgrade/clickhouse-1 has what the release before left, with rows that came
 * twice, days rolled up, pruned, pruned in part and closed, settings that were replaced, and a batch that nobody has counted.
 */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, type TestContext, test } from 'node:test'
import { addressOf } from '../../packages/analytics/src/store/clickhouse/address.ts'
import { overAll } from '../../packages/analytics/src/store/clickhouse/connection.ts'
import type { CountingSettings } from '../../packages/analytics/src/store/counting-settings.ts'
import type { Store } from '../../packages/analytics/src/store/store.ts'
import { assertVerified } from '../store-contract-database.ts'
import { everythingIn, type Question } from '../store-contract-recount.ts'
import { clickhouseUrl, ownCluster, queryShard } from '../support/clickhouse.ts'
import { referrersIn } from '../support/referrers.ts'
import { opened } from '../support/two-shards.ts'
import { record, unix, view } from '../support/views.ts'

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
  const onLast = (sql: string) => queryShard(cluster.shards.at(-1)!, name, sql)
  return { url, onEach, onLast, open: () => opened(t, url, SETTINGS) }
}

interface Answers {
  question: Question
  views: number
  progress: unknown
  everything: Record<string, unknown>
  daily: { date: string; hosts: unknown[] }[]
}

async function readAnswers(): Promise<Answers> {
  return JSON.parse(await text('answers.json')) as Answers
}

async function assertAnswers(store: Store, { isSameMoment = true } = {}): Promise<void> {
  const answers = await readAnswers()
  const { minutes: _, chosen: __, ...everything } = await everythingIn(store, answers.question)
  assert.deepEqual(everything, answers.everything)
  for (const { date, hosts } of answers.daily)
    assert.deepEqual((await referrersIn(store, null, date, date, 100)).referrers, hosts, date)
  if (isSameMoment) assert.deepEqual(await store.progress(), answers.progress)
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

    test('it is carried over also where the last server does not say of which version it is', async t => {
      const { open, onLast } = await database(t, shards)
      if (shards > 1) await onLast('DROP TABLE post_view_migrations SYNC')
      const store = await open()
      await store.migrate()
      await store.checkSettings(['blog.example'])
      await assertAnswers(store)
    })

    test('it may be interrupted at any step, and run again', async t => {
      const { open, onEach } = await database(t, shards)
      const store = await open()
      for (let steps = 0, isDone = false; !isDone; steps += 7) {
        let left = steps
        const interrupt = () => {
          if (left-- === 0) throw new Error('interrupted')
        }
        isDone = await store.migrate(interrupt).then(
          () => true,
          (error: Error) => {
            assert.equal(error.message, 'interrupted')
            return false
          },
        )
      }
      await store.checkSettings(['blog.example'])
      await assertAnswers(store)
      await assertVerified(store)
      assert.deepEqual(await onEach(OLD_TABLES), [])
    })

    test('who read on an open day is not counted as unique again, and a view that comes again is no other', async t => {
      const { open, onEach } = await database(t, shards)
      const store = await open()
      await store.migrate()
      await store.checkSettings(['blog.example'])
      const kept = await onEach(
        `SELECT *, if(post_name = '', toString(post), post_name) AS name, toUnixTimestamp(viewed_at) AS time FROM post_view_rows FINAL WHERE has_id`,
      )
      assert.ok(kept.length > 20)
      const receivedAt = unix('2026-03-14T09:00:00Z')
      const given = (value: unknown) => (value === null ? null : String(value))
      const again = kept.map(row =>
        view('2026-03-10T08:00:00Z', {
          eventId: String(row['id']),
          postUuid: String(row['name']),
          userId: given(row['user_id']),
          loggedIn: Number(row['logged_in']) === 1,
          ip: given(row['ip']),
          userAgent: given(row['user_agent']),
          referer: given(row['referer']),
          viewedAt: Number(row['time']),
        }),
      )
      await record(store, again, { receivedAt })
      await store.roll!()
      await assertAnswers(store, { isSameMoment: false })

      // Of everybody whose views the day has, some of them pruned: in each of its two windows nine addresses, and none.
      const { question } = await readAnswers()
      const addresses = [null, ...Array.from({ length: 9 }, (_, n) => `192.0.2.${n + 1}`)]
      const everybody = question.posts.flatMap(post =>
        ['2026-03-10T08:00:00Z', '2026-03-10T15:00:00Z'].flatMap(time =>
          addresses.map(ip => view(time, { postUuid: post, ip })),
        ),
      )
      await record(store, everybody, { receivedAt })
      await store.roll!()
      const days = await store.postDays(question.posts, '2026-03-10', '2026-03-10')
      for (const [post, [day]] of days) assert.equal(day!.unique_views, 20, post)
      await assertVerified(store)
    })
  })
}
