/** What is ClickHouse's own: nothing is in a transaction, and everything is exact all the same. */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import type { View } from '@postviews/client/src/index.ts'
import { newLabels } from '../../packages/analytics/src/store/clickhouse/labels.ts'
import { openStore } from '../../packages/analytics/src/store/open.ts'
import { type Store, StoreRefused, StoreUnavailable } from '../../packages/analytics/src/store/store.ts'
import {
  CLICKHOUSE_MIRRORS,
  type ClickhouseCluster,
  startClickhouseCluster,
} from '../../tools/stack/clickhouse.ts'
import { assertVerified } from '../store-contract-database.ts'
import { inBatches, randomOf, randomViews, shuffled } from '../store-contract-random.ts'
import { atEnd } from '../support/at-end.ts'
import { clickhouseUrl, queryShard } from '../support/clickhouse.ts'
import { postviews } from '../support/service.ts'
import { startTlsFront } from '../support/tls-front.ts'
import { onceSaid, opened, SETTINGS, twoShards } from '../support/two-shards.ts'
import { FIREFOX, received, record, SAFARI, unix, untilAvailable, view } from '../support/views.ts'

const NOON = '2026-03-10T12:00:00Z'
const CERTIFICATE = join(import.meta.dirname, '../support/localhost.pem')
// Longer than adopting other settings takes where there is next to nothing.
const LATE_MS = 5_000

const { cluster, onTwoShards, throughProxy } = twoShards()

function views(count: number, fields: Partial<View> = {}): View[] {
  return Array.from({ length: count }, (_, index) =>
    view(NOON, { postUuid: `post-${index % 7}`, ip: `192.0.2.${index % 50}`, ...fields }),
  )
}

async function assertCounts(store: Store, count: number, uniques?: number): Promise<void> {
  const { views, unique_views } = await store.siteTotals()
  assert.equal(views, count)
  if (uniques !== undefined) assert.equal(unique_views, uniques)
  await assertVerified(store)
}

const STEPS = [
  'INSERT INTO post_view_deliveries',
  'INSERT INTO post_view_visitors',
  'INSERT INTO post_view_figures',
]

describe('ClickHouse on two shards', () => {
  for (const words of STEPS) {
    test(`counts a batch once whose answer to ${words} was lost`, async t => {
      const { proxy, straight, store } = await throughProxy(t)
      const rows = received(views(300))
      let counted = 0
      // Where the figures of a batch are kept changes with its label: some of them go the other way.
      for (let tries = 0, isLost = false; !isLost && tries < 30; tries++) {
        const batch = tries === 0 ? rows : received(views(10))
        onceSaid(proxy, words, 'reset')
        isLost = await store.recordViews(batch).then(
          () => false,
          error => error instanceof StoreUnavailable,
        )
        proxy.pass()
        assert.ok(isLost || words === STEPS[2])
        const again = await straight.recordViews(batch)
        assert.equal(again.counted + again.duplicates, batch.length)
        counted += batch.length
      }
      await assertCounts(straight, counted, 300 > counted ? counted : undefined)
    })
  }

  test('counts each view of batches that overlap once, recorded by two processes at the same time', async t => {
    const { open, store, sql } = await onTwoShards(t)
    const other = await open()
    const random = randomOf(3)
    let all = 0
    let counted = 0
    for (let round = 0; round < 20; round++) {
      const shared = views(20)
      const [a, b] = [views(10), views(10)]
      all += 40
      const recorded = await Promise.all([
        untilAvailable(() => record(store, shuffled(random, [...shared, ...a]))),
        untilAvailable(() => record(other, shuffled(random, [...shared, ...b]))),
      ])
      counted += recorded[0].counted + recorded[1].counted
    }
    assert.equal(counted, all)
    const [stored] = await store.siteDays('2026-03-10', '2026-03-10')
    assert.equal(stored?.views, all)
    const kept = await sql('SELECT uniqExact(id) AS ids, count() AS deliveries FROM post_view_deliveries')
    assert.equal(
      kept.reduce((sum, { ids }) => sum + Number(ids), 0),
      all,
    )
    // They did meet: some ids were delivered more than once.
    assert.ok(kept.reduce((sum, { deliveries }) => sum + Number(deliveries), 0) > all)
    // 7 posts, 20 readers and all of them on one day.
    assert.equal(stored?.unique_views, 20)
    await assertVerified(store)
  })

  test('knows an id that comes again as of another post and another day, received on another', async t => {
    const { store } = await onTwoShards(t)
    const first = views(40)
    await record(store, first)
    const others = first.map(({ eventId }, index) =>
      view('2026-03-11T12:00:00Z', { eventId, postUuid: `other-${index}`, ip: '198.51.100.7' }),
    )
    const late = { receivedAt: unix('2026-03-25T12:00:00Z') }
    assert.deepEqual(await record(store, others, late), { counted: 0, duplicates: 40 })
    assert.deepEqual(await store.siteDays('2026-03-11', '2026-03-11'), [])
    await assertCounts(store, 40)
  })

  test('keeps what was first when merges and changes of rows come in between', async t => {
    const { store, sql } = await onTwoShards(t)
    const first = views(40, { userId: '7' })
    await record(store, first)
    const again = first.map(({ eventId }) => view('2026-03-11T12:00:00Z', { eventId, postUuid: 'other' }))
    await record(store, again, { receivedAt: unix(NOON) + 60 })
    await sql('OPTIMIZE TABLE post_view_deliveries FINAL')
    assert.equal(await store.forget({ userId: '7' }), 40)
    await sql('OPTIMIZE TABLE post_view_deliveries FINAL')
    assert.deepEqual(await record(store, again), { counted: 0, duplicates: 40 })
    // Either shard answers for both.
    const day = { day: '2026-03-10' }
    assert.deepEqual(await sql('SELECT DISTINCT day FROM post_views'), [day, day])
    await assertCounts(store, 40)
    assert.equal((await store.rebuild({ adoptSettings: false })).fixed, 0)
  })

  test('counts a batch once whose figures are written twice', async t => {
    const { store, sql } = await onTwoShards(t)
    await record(store, views(40))
    const before = await store.siteTotals()
    await sql('INSERT INTO post_view_figures SELECT * FROM post_view_figures')
    assert.deepEqual(await store.siteTotals(), before)
    await assertVerified(store)
    await sql('OPTIMIZE TABLE post_view_figures FINAL')
    assert.deepEqual(await store.siteTotals(), before)
    await assertVerified(store)
  })

  test('completes a batch whose consumer died after its rows, and before its figures', async t => {
    const { proxy, straight, store } = await throughProxy(t)
    // One of their posts has a reader of its own, who must not be unique twice.
    const seen = views(300)
    await record(straight, seen)
    const rows = received(views(300))
    onceSaid(proxy, 'argMin(batch', 'reset')
    await assert.rejects(store.recordViews(rows), StoreUnavailable)
    proxy.pass()
    assert.equal((await straight.siteTotals()).views, 300)
    await assertVerified(straight)

    // Some of its events reach another consumer, among others.
    const others = received(views(10))
    const { counted, duplicates } = await straight.recordViews([...rows.slice(0, 200), ...others])
    assert.deepEqual({ counted, duplicates }, { counted: 210, duplicates: 0 })
    // The rest of the batch is counted with it, though nobody came with it yet.
    assert.equal((await straight.siteTotals()).views, 610)
    assert.deepEqual(await straight.recordViews(rows), { counted: 0, duplicates: 300 })
    await assertCounts(straight, 610)
  })

  test('counts nothing twice when an insert that was given up is committed after all', async t => {
    const { store, sql } = await onTwoShards(t)
    const batch = views(40)
    await record(store, batch)
    // The same ids under a label that nobody is at, as an insert is that a server had put off.
    const late = newLabels()(0)
    await sql(
      `INSERT INTO post_view_deliveries SELECT * REPLACE (toUUID('${late}') AS batch) FROM post_view_deliveries`,
    )
    await assertCounts(store, 40)
    assert.deepEqual(await record(store, batch), { counted: 0, duplicates: 40 })
    await assertCounts(store, 40)
  })

  test('counts under the settings of now what was committed under those of before, after they had changed', async t => {
    const { servers, database, proxy, url, straight, store } = await throughProxy(t)
    // Two readers by address, four by address and browser.
    const batch = [FIREFOX, SAFARI].flatMap(userAgent =>
      Array.from({ length: 10 }, (_, n) => view(NOON, { userAgent, ip: `192.0.2.${n % 2}` })),
    )
    const rows = received(batch)
    // It begins under the settings of before.
    await store.rehearse(rows)
    await straight.recordViews(received(views(1)))
    const rowsThere = async () => {
      const count = 'SELECT count() AS rows FROM post_view_deliveries'
      return Number((await queryShard(servers.shards[0]!, database, count))[0]!['rows'])
    }
    proxy.intercept(({ direction, bytes }) => {
      const isInsert = bytes.toString('latin1').includes('post_view_deliveries')
      proxy.delay(direction === 'to-server' && isInsert ? LATE_MS : 0)
      return 'pass'
    })
    const refused = assert.rejects(store.recordViews(rows), StoreRefused)
    const now = await opened(t, url, { ...SETTINGS, uniqueBy: 'ip+user_agent' })
    await now.rebuild({ adoptSettings: true })
    const rowsBefore = await rowsThere()
    await refused
    proxy.pass()
    assert.deepEqual(await record(now, batch), { counted: 20, duplicates: 0 })
    assert.ok((await rowsThere()) > rowsBefore, 'it was committed afterwards')
    await assertCounts(now, 21, 5)
  })

  test('commits a batch as one part on each shard, however big it is', async t => {
    const { store, sql } = await onTwoShards(t)
    const [userAgent, referer] = ['ы'.repeat(2_000), `https://a.example/${'ы'.repeat(480)}`]
    const big = Array.from({ length: 8_000 }, (_, n) =>
      view(NOON, { postUuid: `p-${n}`, userAgent, referer }),
    )
    assert.deepEqual(await record(store, big), { counted: 8_000, duplicates: 0 })
    const partsOf = async (table: string) => {
      const rows = await sql(`SELECT max_block_number AS block FROM system.parts
        WHERE database = currentDatabase() AND table = '${table}' AND active`)
      return rows.map(({ block }) => block)
    }
    assert.deepEqual(await partsOf('post_view_deliveries'), [1, 1])
    assert.deepEqual(await partsOf('post_view_figures'), [1])
  })

  test('refuses another number of shards', async t => {
    const { url, open } = await onTwoShards(t)
    const one = url.replace(/,127\.0\.0\.1:\d+/, '')
    const half = { constructor: StoreRefused, message: /names no host of shard 2/ }
    await assert.rejects((await open(one)).siteTotals(), half)
    const lone = await open(one.replace(/\?.*/, ''))
    await assert.rejects(lone.checkSettings(), { constructor: StoreRefused, message: /on 2 shards.*knows 1/ })
  })

  test('refuses a cluster whose shards have replicas', async t => {
    const { url, open } = await onTwoShards(t)
    const mirrors = await open(url.replace(/\bcluster=\w+/, `cluster=${CLICKHOUSE_MIRRORS}`))
    await assert.rejects(mirrors.siteTotals(), {
      constructor: StoreRefused,
      message: /shard 1 of the cluster mirrors has 2 replicas/,
    })
  })

  test('are reached through TLS where the URL says so, if Node knows the authority', async t => {
    const servers = await cluster()
    let databaseUrl = clickhouseUrl(servers, await servers.database()).replace('clickhouse:', 'clickhouses:')
    for (const { port } of servers.shards) {
      const front = await startTlsFront(port)
      atEnd(t, () => front.close())
      databaseUrl = databaseUrl.replace(`:${port}`, `:${front.port}`)
    }
    const surroundings = { amqpUrl: 'amqp://127.0.0.1:9', databaseUrl }
    const unknown = await postviews(surroundings, 'migrate')
    assert.equal(unknown.code, 1)
    assert.match(unknown.output, /SELF_SIGNED_CERT/)
    const trusting = { ...surroundings, settings: { NODE_EXTRA_CA_CERTS: CERTIFICATE } }
    for (const command of ['migrate', 'verify']) {
      const { code, output } = await postviews(trusting, command)
      assert.equal(code, 0, output)
    }
  })

  test('names the server, and says nothing of passwords', async t => {
    const store = await opened(t, 'clickhouse://reader:hunter2@127.0.0.1:9/views')
    await assert.rejects(store.siteTotals(), error => {
      assert.ok(error instanceof StoreUnavailable)
      assert.match(error.message, /^ClickHouse at 127\.0\.0\.1:9: /)
      assert.doesNotMatch(`${error.stack} ${error.cause ?? ''}`, /hunter2/)
      return true
    })
    await assert.rejects(openStore('clickhouse://reader:hunter2@/views', SETTINGS), error => {
      assert.doesNotMatch(String(error), /hunter2/)
      return error instanceof StoreRefused
    })
  })
})

describe('a shard of ClickHouse that is killed', () => {
  let servers: ClickhouseCluster | undefined
  after(() => servers?.stop())

  test('makes the store unavailable, and nothing is lost or counted twice once it is back', async t => {
    servers = await startClickhouseCluster()
    const url = clickhouseUrl(servers, await servers.database())
    const store = await opened(t, url)
    await store.migrate()
    const random = randomOf(4)
    const all = randomViews(random, 2_000).map(each => ({
      ...each,
      eventId: each.eventId ?? view(NOON).eventId,
    }))
    const deliveries = inBatches(random, shuffled(random, [...all, ...all.slice(0, 400)]))
    const second = servers.shards[1]!
    let unavailable = 0
    const consuming = async (part: View[][]) => {
      for (const batch of part) {
        await untilAvailable(() =>
          record(store, batch).catch(error => {
            if (error instanceof StoreUnavailable) unavailable++
            throw error
          }),
        )
      }
    }
    const half = Math.floor(deliveries.length / 2)
    const consumers = Promise.all([consuming(deliveries.slice(0, half)), consuming(deliveries.slice(half))])
    for (let kills = 0; kills < 2; kills++) {
      const before = unavailable
      await second.kill()
      while (unavailable === before) await assert.rejects(store.ping(), StoreUnavailable)
      await second.restart()
    }
    await consumers
    await assertCounts(store, 2_000)
  })
})
