/** The server, or the way to it, fails in the middle of a batch: the batch comes again, and is counted once. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, type TestContext, test } from 'node:test'
import { StoreUnavailable } from '../packages/analytics/src/store/failures.ts'
import type { Store } from '../packages/analytics/src/store/store.ts'
import { type Mysql, startMysql } from '../tools/stack/mysql.ts'
import { assertVerified } from './store-contract-database.ts'
import { holdBatches, isCommit, otherSession, storeOn, untilWaiting } from './support/mysql.ts'
import { startTcpProxy, type TcpProxy, type Verdict } from './support/tcp-proxy.ts'
import { until } from './support/until.ts'
import { received, record, untilAvailable, view } from './support/views.ts'

const NOON = '2026-03-10T12:00:00Z'

function views(count: number) {
  return Array.from({ length: count }, (_, index) =>
    view(NOON, { postUuid: `post-${index % 7}`, ip: `192.0.2.${index % 50}` }),
  )
}

async function assertCounts(store: Store, count: number): Promise<void> {
  assert.equal((await store.siteTotals()).views, count)
  await assertVerified(store)
}

// Most of the time is spent waiting for what takes 30 s.
describe('faults', { concurrency: true }, () => {
  describe('on the way to the server', { concurrency: true }, () => {
    let server: Mysql
    before(async () => {
      server = await startMysql()
    })
    after(() => server.stop())

    /** A store whose connections go through a proxy, and one that goes straight. */
    async function throughProxy(t: TestContext) {
      const { url } = await server.database()
      const straight = await storeOn(t, url)
      await straight.migrate()
      const proxy = await startTcpProxy(server.port)
      t.after(() => proxy.close())
      // The day has its key by then: no transaction is for that.
      await straight.rehearse(received(views(1)))
      return { url, proxy, straight, store: await storeOn(t, proxy.through(url)) }
    }

    test('the answer to a commit is lost: what was committed is not counted again', async t => {
      const { proxy, store } = await throughProxy(t)
      const rows = received(views(300))
      onceSaid(proxy, isCommit, 'cut')
      await assert.rejects(store.recordViews(rows), StoreUnavailable)
      proxy.pass()
      assert.deepEqual(await store.recordViews(rows), { counted: 0, duplicates: 300 })
      await assertCounts(store, 300)
    })

    for (const words of [
      'START TRANSACTION',
      'INSERT INTO post_views',
      'INSERT INTO post_view_visitors',
      'INSERT INTO post_view_totals',
    ]) {
      test(`the connection is reset after ${words}: nothing of the batch is kept`, async t => {
        const { proxy, straight, store } = await throughProxy(t)
        const rows = received(views(300))
        onceSaid(proxy, bytes => bytes.includes(words), 'reset')
        await assert.rejects(store.recordViews(rows), StoreUnavailable)
        assert.equal((await straight.siteTotals()).views, 0)
        proxy.pass()
        assert.deepEqual(await store.recordViews(rows), { counted: 300, duplicates: 0 })
        await assertCounts(store, 300)
      })
    }

    test('nothing is heard any more: noticed in time, and the locks are freed by themselves', async t => {
      const { proxy, straight, store, url } = await throughProxy(t)
      await record(straight, views(10))
      const rows = received(views(300))
      const said = Promise.withResolvers<void>()
      proxy.intercept(({ bytes }) => {
        if (bytes.includes('INSERT INTO post_view_totals')) {
          // Not even its end gets through.
          proxy.swallow()
          said.resolve()
        }
        return 'pass'
      })
      const started = performance.now()
      const lost = assert.rejects(store.recordViews(rows), /no answer within 30 s/)
      await said.promise
      // The server knows nothing of it, and keeps the counters locked.
      const other = await otherSession(t, url)
      const blocked = untilAvailable(() => straight.recordViews(rows))
      await untilWaiting(other, 1)
      await lost
      assert.ok(performance.now() - started < 35_000)
      assert.deepEqual(await blocked, { counted: 300, duplicates: 0 })
      proxy.pass()
      assert.deepEqual(await store.recordViews(rows), { counted: 0, duplicates: 300 })
      await assertCounts(store, 310)
    })

    test('connecting is cut short at any point: an error, and no crash', async t => {
      const { proxy, store } = await throughProxy(t)
      for (const verdict of ['cut', 'reset', 'pass-then-cut', 'pass-then-reset'] as const) {
        for (let chunk = 1; chunk <= 6; chunk++) {
          let seen = 0
          proxy.intercept(() => (++seen === chunk ? verdict : 'pass'))
          await assert.rejects(store.ping(), StoreUnavailable)
          proxy.reset()
        }
      }
      proxy.refuse()
      await assert.rejects(store.ping(), StoreUnavailable)
      proxy.pass()
      await store.ping()
    })

    test('connections that were lost while nobody used them are opened again unnoticed', async t => {
      const { proxy, store } = await throughProxy(t)
      await record(store, views(20))
      await Promise.all([1, 2, 3, 4].map(() => store.siteTotals()))
      proxy.reset()
      await until('all are gone', () => proxy.open === 0)
      await record(store, views(20))
      await assertCounts(store, 40)
    })

    test('a connection is killed, in use or not: the batch is counted once', async t => {
      const { url } = await server.database()
      const store = await storeOn(t, url)
      await store.migrate()
      const other = await otherSession(t, url)
      const kill = async (what: string) => {
        const sessions = await other.sql(
          'SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()',
        )
        for (const { id } of sessions) await other.sql(`KILL ${what} ${id}`)
      }
      await record(store, views(20))
      await kill('CONNECTION')
      const rows = received(views(300))
      for (const what of ['CONNECTION', 'QUERY']) {
        await holdBatches(other)
        const recorded = assert.rejects(store.recordViews(rows), StoreUnavailable)
        await untilWaiting(other, 1)
        await kill(what)
        await recorded
        await other.sql('ROLLBACK')
      }
      assert.deepEqual(await store.recordViews(rows), { counted: 300, duplicates: 0 })
      await assertCounts(store, 320)
    })
  })

  describe('the server', { concurrency: true }, () => {
    async function ownServer(t: TestContext) {
      const server = await startMysql()
      t.after(() => server.stop())
      const { url, name } = await server.database()
      return { server, url, name }
    }

    test('is killed in the middle of a batch, and comes back: the batch is counted once', async t => {
      const { server, url } = await ownServer(t)
      const store = await storeOn(t, url)
      await store.migrate()
      await record(store, views(20))
      const rows = received(views(300))
      const other = await otherSession(t, url)
      await holdBatches(other)
      const recorded = assert.rejects(store.recordViews(rows), StoreUnavailable)
      await untilWaiting(other, 1)
      await server.kill()
      await recorded
      for (const work of [
        () => store.recordViews(rows),
        () => store.ping(),
        () => store.siteTotals(),
        () => record(store, [view('2026-03-11T12:00:00Z')]),
      ]) {
        await assert.rejects(work(), StoreUnavailable)
      }
      await server.restart()
      assert.deepEqual(await store.recordViews(rows), { counted: 300, duplicates: 0 })
      await assertCounts(store, 320)
    })

    test('is away when the store is opened: every question fails until it is there', async t => {
      const { server, url } = await ownServer(t)
      await server.stop({ keep: true })
      const store = await storeOn(t, url)
      await assert.rejects(store.migrate(), StoreUnavailable)
      await assert.rejects(store.checkSettings(), StoreUnavailable)
      await server.restart()
      await store.migrate()
      await store.checkSettings()
      await record(store, views(20))
      await assertCounts(store, 20)
    })

    test('stops as if frozen: noticed in time, and the batch is counted once afterwards', async t => {
      const { server, url } = await ownServer(t)
      const store = await storeOn(t, url)
      await store.migrate()
      await record(store, views(20))
      const rows = received(views(300))
      server.pause()
      await until('it stands still', () => / T /.test(readFileSync(`/proc/${server.pid}/stat`, 'utf8')))
      await Promise.all([
        assert.rejects(store.recordViews(rows), /no answer within 30 s/),
        assert.rejects(store.siteTotals(), /no answer within 15 s|ETIMEDOUT/),
      ])
      // Now even to connect takes too long.
      await assert.rejects(store.ping(), /ETIMEDOUT/)
      server.resume()
      const { counted, duplicates } = await untilAvailable(() => store.recordViews(rows))
      assert.equal(counted + duplicates!, 300)
      await assertCounts(store, 320)
    })

    test('takes no writes: says so, answers reads, and goes on when it takes them again', async t => {
      const { server, url, name } = await ownServer(t)
      const root = await storeOn(t, url)
      await root.migrate()
      const other = await otherSession(t, url)
      await other.sql("CREATE USER service@'127.0.0.1'")
      await other.sql(`GRANT ALL ON ${name}.* TO service@'127.0.0.1'`)
      const store = await storeOn(t, `mysql://service@127.0.0.1:${server.port}/${name}`)
      await record(store, views(20))
      await other.sql('SET GLOBAL read_only = ON')
      await assert.rejects(store.ping(), StoreUnavailable)
      await assert.rejects(record(store, views(20)), StoreUnavailable)
      assert.equal((await store.siteTotals()).views, 20)
      await other.sql('SET GLOBAL read_only = OFF')
      await store.ping()
      await record(store, views(20))
      await assertCounts(store, 40)
    })
  })
})

/** From when such words have gone to the server, whatever comes back meets that fate. */
function onceSaid(proxy: TcpProxy, isSaidBy: (bytes: Buffer) => boolean, fate: Verdict): void {
  let isSaid = false
  proxy.intercept(({ direction, bytes }) => {
    if (direction === 'to-client') return isSaid ? fate : 'pass'
    isSaid ||= isSaidBy(bytes)
    return 'pass'
  })
}
