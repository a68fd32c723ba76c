/** From the tables of version 2 on ClickHouse, which kept hosts of settled days and of removed rows, and nothing else of who read a view. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { KEPT_OF_POST, REMAINDER } from '../../packages/analytics/src/store/bounds.ts'
import type { Store } from '../../packages/analytics/src/store/store.ts'
import { assertVerified } from '../store-contract-database.ts'
import { everythingIn } from '../store-contract-recount.ts'
import { clickhouseUrl, ownCluster, queryShard } from '../support/clickhouse.ts'
import { referrersIn } from '../support/referrers.ts'
import { opened } from '../support/two-shards.ts'
import { TO_VERSION_3 } from '../support/undo-clickhouse.ts'
import { GOOGLEBOT, OTHER_POST, POST, record, unix, view } from '../support/views.ts'

const GONE = '2026-03-01'
const SETTLED = '2026-04-20'
const OPEN = '2026-05-01'
const NOW = unix(`${OPEN}T12:00:00Z`)
const RETENTION = { now: NOW, rawRetentionDays: 30, maxAgeSeconds: 15 * 86_400 }
const QUESTION = { posts: [POST, OTHER_POST], from: GONE, to: OPEN }

const clusters = new Map([
  [1, ownCluster(1)],
  [2, ownCluster(2)],
])

/** Takes a shard back to the tables of version 2. */
const UNDO = [
  ...TO_VERSION_3,
  ...['post_view_breakdowns', 'post_view_site_breakdowns', 'post_view_bases'].flatMap(table => [
    `ALTER TABLE ${table} ADD COLUMN hosts Array(String), ADD COLUMN host_views Array(UInt64)`,
    `ALTER TABLE ${table} UPDATE
         hosts = arrayMap(h -> if(h = '${REMAINDER}', '<other>', h), ${ofHosts('values')}), host_views = ${ofHosts('value_views')}
       WHERE true`,
    `ALTER TABLE ${table} DROP COLUMN dimensions, DROP COLUMN value_bots`,
    `ALTER TABLE ${table} DROP COLUMN values, DROP COLUMN value_views`,
  ]),
  ...['hour_of_day', 'utm', 'origin', 'agent', 'country'].map(
    column => `ALTER TABLE post_view_rows DROP COLUMN ${column}`,
  ),
  'ALTER TABLE post_view_migrations DELETE WHERE version > 2',
]

function ofHosts(array: string): string {
  return `arrayFilter((x, d) -> d = 'referrer', ${array}, dimensions)`
}

async function fill(store: Store): Promise<void> {
  const hosts = Array.from({ length: KEPT_OF_POST + 20 }, (_, nth) => `host-${nth}.example`)
  const from = (day: string, referers: (string | null)[], postUuid: string) =>
    referers.map(host =>
      view(`${day}T12:00:00Z`, { postUuid, referer: host && `https://${host}/`, url: '/?utm_source=hn' }),
    )
  for (const day of [GONE, SETTLED]) {
    const views = [
      ...from(day, [...hosts, null, null, 'often.example', 'often.example'], POST),
      ...from(day, ['a.example', null], OTHER_POST),
      view(`${day}T13:00:00Z`, { userAgent: GOOGLEBOT }),
    ]
    await record(store, views, { receivedAt: unix(`${day}T14:00:00Z`) })
  }
  await store.roll!()
  await store.prune(RETENTION)
  const today = [...from(OPEN, ['a.example', null], POST), ...from(OPEN, ['b.example'], OTHER_POST)]
  await record(store, today, { receivedAt: NOW })
  await store.roll!()
}

for (const shards of clusters.keys()) {
  describe(`from version 2 on ${shards === 1 ? 'a lone server' : `${shards} shards`}`, () => {
    test('every host stays what it was, also if the migration is interrupted and run again', async t => {
      const cluster = await clusters.get(shards)!()
      const name = await cluster.database()
      const open = () => opened(t, clickhouseUrl(cluster, name))
      const onEach = (sql: string) => Promise.all(cluster.shards.map(shard => queryShard(shard, name, sql)))
      const before = await open()
      await before.migrate()
      await fill(before)
      const answers = await everythingIn(before, QUESTION)
      for (const statement of UNDO) await onEach(statement)

      const store = await open()
      for (let steps = 0, isDone = false; !isDone; steps += 3) {
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
      await store.checkSettings()
      // What people and bots read alone was not kept; upgrade-3.test.ts tells what becomes of that.
      const { chosen: unknown, ...same } = await everythingIn(store, QUESTION)
      const { chosen, ...kept } = answers
      assert.deepEqual(same, kept)
      assert.notDeepEqual(unknown, chosen)
      await assertVerified(store)

      // Nobody counted the bots of a day that is settled, or whose rows are gone.
      const { values, others, days } = await store.breakdown('referrer', POST, GONE, GONE)
      assert.deepEqual(values.get('often.example'), { views: 2, bots: null })
      assert.deepEqual(others, { views: 21, bots: null })
      assert.equal(days[0]!.known.views, days[0]!.all.views)
      const sources = await store.breakdown('source', null, GONE, OPEN)
      assert.equal(sources.values.size, 0)
      assert.deepEqual(
        sources.days.map(({ known }) => known),
        Array(3).fill({ views: 0, bots: 0 }),
      )

      // What comes late to such days is counted with what was known before.
      const late = [GONE, SETTLED].flatMap(day => [
        view(`${day}T12:00:00Z`, { referer: 'https://often.example/' }),
        view(`${day}T12:00:00Z`, { url: '/?utm_source=hn' }),
      ])
      await record(store, late, { receivedAt: NOW })
      await store.roll!()
      const often = await referrersIn(store, POST, GONE, GONE, 1)
      assert.deepEqual(often.referrers, [{ host: null, views: 4 }])
      for (const post of [POST, null]) {
        const found = await store.breakdown('source', post, GONE, GONE)
        assert.deepEqual(
          found.values,
          new Map([
            ['Hacker News', { views: 1, bots: 0 }],
            ['often.example', { views: 1, bots: 0 }],
          ]),
        )
      }
      await assertVerified(store)
      await store.rebuild({ adoptSettings: false })
      await assertVerified(store)
      assert.equal((await store.rebuild({ adoptSettings: false })).fixed, 0)
    })
  })
}
