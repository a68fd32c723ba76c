import assert from 'node:assert/strict'
import { closeSync, openSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { until } from '../../../../../test/support/until.ts'
import { addDays, type Day, daysFrom, type Period } from '../days.ts'
import { StoreUnavailable } from '../failures.ts'
import { openRankingSource } from '../sqlite/ranking-source.ts'
import { openSqliteStore } from '../sqlite/store.ts'
import {
  monotonicMs,
  RankingCache,
  type RankingMoment,
  type RankingQuestion,
  type RankingSource,
} from './ranking-cache.ts'
import { Rankings } from './rankings.ts'

const TODAY = '2026-03-10'
const MONTH = { from: addDays(TODAY, -29), to: TODAY }
const DYING_SOURCE = new URL('../../../../../test/support/dying-ranking-source.ts', import.meta.url).href

/** A store in use by this process, with `posts` posts that have views on each of the days. */
async function bigStore(t: TestContext, posts: number, days = daysFrom(MONTH.from, MONTH.to)) {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-rankings-'))
  const path = join(folder, 'views.db')
  const store = await openSqliteStore(`sqlite:${path}`, {
    timeZone: 'UTC',
    windowHours: 24,
    uniqueBy: 'ip',
    bots: 'count',
  })
  await store.migrate()
  using database = new DatabaseSync(path, { timeout: 5_000 })
  database.exec(`
    CREATE TEMP TABLE posts AS
      WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${posts})
      SELECT n, printf('0190a000-0000-7000-8000-%012d', n * 7919 % ${posts}) AS id FROM numbers;
    CREATE TEMP TABLE days (date TEXT);
    INSERT INTO days VALUES ${days.map(day => `('${day}')`).join()};
    INSERT INTO post_view_aggregates (date, post_uuid, view_count, unique_views, logged_in, bots)
      SELECT date, id, 1 + n % 9, 1, 0, 0 FROM days, posts;
    INSERT INTO site_view_aggregates (date, view_count, unique_views, logged_in, bots)
      SELECT date, SUM(view_count), SUM(unique_views), 0, 0 FROM post_view_aggregates GROUP BY date;`)
  const headerOf = openSync(path, 'r')
  t.after(async () => {
    await store.close()
    closeSync(headerOf)
    await rm(folder, { recursive: true })
  })
  return { store, file: { path, headerOf } }
}

const asked = (period: Period | null, limit = 10, offset = 0): RankingQuestion => ({
  period,
  sort: 'views',
  counted: 'views',
  order: 'desc',
  limit,
  offset,
  askedMs: monotonicMs(),
  maxAgeMs: 0,
})

test('reads and ranks a day in another thread', async t => {
  const posts = 100_000
  const { store } = await bigStore(t, posts, [TODAY])
  // Starts the thread.
  await store.topPosts({ period: { from: '2025-01-01', to: '2025-01-01' }, limit: 1 })
  const before = process.threadCpuUsage()
  const { total, posts: page } = await store.topPosts({
    period: { from: TODAY, to: TODAY },
    limit: 100,
    offset: 90_000,
  })
  const { user, system } = process.threadCpuUsage(before)
  assert.deepEqual([total, page.length], [posts, 100])
  // The CPU time of this thread only, so the load of the machine does not matter. Reading the rows here would take 100 ms or
  // more.
  assert.ok(user + system < 40_000, `this thread computed for ${user + system} µs`)
})

test('answers others while it reads and ranks', async t => {
  const { file } = await bigStore(t, 150_000, [TODAY])
  const source = openRankingSource(file)
  t.after(() => source.close())
  const rankings = new RankingCache(source, 2 ** 28)
  const spent = () => process.threadCpuUsage().user / 1_000
  const startMs = spent()
  let [longestMs, lastMs, isDone] = [0, startMs, false]
  const looking = (async () => {
    while (!isDone) {
      await new Promise(resolve => setImmediate(resolve))
      longestMs = Math.max(longestMs, spent() - lastMs)
      lastMs = spent()
    }
  })()
  await rankings.page(asked({ from: TODAY, to: TODAY }))
  isDone = true
  await looking
  // Both are CPU time of this thread, so neither the load of the machine nor its speed matters.
  const totalMs = spent() - startMs
  assert.ok(longestMs < totalMs / 3, `it computed for ${longestMs} ms of ${totalMs} ms in one go`)
})

test('gives the list that there is while a slow store reads it anew', async t => {
  const { file } = await bigStore(t, 10, [TODAY])
  const sqlite = openRankingSource(file)
  t.after(() => sqlite.close())
  let gate = sleep(SLOW_MS)
  let snapshots = 0
  const rankings = new RankingCache(
    {
      check: () => sqlite.check(),
      close: () => sqlite.close(),
      async snapshot(work) {
        snapshots++
        await gate
        return sqlite.snapshot(work)
      },
    },
    2 ** 28,
  )
  const mostViewed = async () => {
    const { posts } = await rankings.page({ ...asked({ from: TODAY, to: TODAY }), maxAgeMs: 60_000 })
    return posts[0]?.views
  }
  assert.equal(await mostViewed(), 9)
  {
    using database = new DatabaseSync(file.path, { timeout: 5_000 })
    for (const table of ['post_view_aggregates', 'site_view_aggregates'])
      database.exec(`UPDATE ${table} SET view_count = view_count + 1`)
  }
  const { promise, resolve } = Promise.withResolvers<void>()
  gate = promise
  const before = snapshots
  await until('it is read anew', async () => {
    assert.equal(await mostViewed(), 9)
    return snapshots > before
  })
  assert.equal(await mostViewed(), 9)
  resolve()
  await until('the new list is given', async () => (await mostViewed()) === 10)
})

/** A reading time for which no caller waits. */
const SLOW_MS = 40

test('keeps no more in memory than it may, whatever it is asked', async t => {
  const { file } = await bigStore(t, 2_000)
  const source = openRankingSource(file)
  t.after(() => source.close())
  const periods = [MONTH, { from: TODAY, to: TODAY }, { from: addDays(TODAY, -7), to: TODAY }, null]
  for (const maxBytes of [0, 100_000, 300_000, 400_000, 2 ** 28]) {
    const rankings = new RankingCache(source, maxBytes)
    for (const period of [...periods, ...periods]) {
      const { total, posts } = await rankings.page(asked(period, 1_000, 1_500))
      const expected = period === null ? 0 : 2_000
      assert.deepEqual([total, posts.length], [expected, expected && 500])
      assert.ok(rankings.bytes <= Math.max(maxBytes, EMPTY_BYTES), `${rankings.bytes} of ${maxBytes}`)
    }
  }
})

interface SmallSource {
  /** What reading a day waits for. */
  meanwhile?: (day: Day | null) => unknown
  /** One snapshot after the other, as from a connection. */
  isInLine?: boolean
}

/** Ten posts with the same views on every day. */
function smallSource({ meanwhile, isInLine = true }: SmallSource = {}) {
  const found = { inHand: 0, mostInHand: 0, daysRead: 0, views: 5 }
  let last: Promise<unknown> = Promise.resolve()
  const moment: RankingMoment = {
    rows: async (_sql, [from, to]) =>
      daysFrom(String(from), String(to)).map(day => [day, found.views, 50, 0]),
    async posts(day, _counted, use) {
      found.daysRead++
      found.mostInHand = Math.max(found.mostInHand, ++found.inHand)
      await meanwhile?.(day)
      found.inHand--
      use(Array.from({ length: 10 }, (_, post) => [`post-${post}`, found.views, 5]))
    },
  }
  const source: RankingSource = {
    check() {},
    async close() {},
    snapshot(work) {
      const done = (isInLine ? last : Promise.resolve()).then(() => work(moment))
      last = done.catch(() => {})
      return done
    },
  }
  return { source, found }
}

test('counts what lists and days take beside their numbers, so that many small ones keep within the bound', async () => {
  const { source } = smallSource()
  const periods = Array.from({ length: 40 }, (_, list) => ({ from: addDays(TODAY, -50 - list), to: TODAY }))
  const roomy = new RankingCache(source, 2 ** 28)
  const small = new RankingCache(source, 100_000)
  for (const period of periods) {
    const before = roomy.bytes
    await roomy.page(asked(period))
    // Its versions alone are a text of some 20 characters for each day.
    assert.ok(roomy.bytes - before > 50 * 18, `${roomy.bytes - before} bytes for a list`)
    assert.equal((await small.page(asked(period))).total, 10)
    assert.ok(small.bytes <= 100_000, `${small.bytes} bytes`)
  }
})

test('reads few lists at the same time, however many are asked for', async () => {
  const { source, found } = smallSource({ meanwhile: turn, isInLine: false })
  const rankings = new RankingCache(source, 2 ** 28)
  const periods = Array.from({ length: 30 }, (_, list) => ({ from: addDays(TODAY, -40 - list), to: TODAY }))
  const pages = await Promise.all(periods.map(period => rankings.page(asked(period))))
  assert.deepEqual(new Set(pages.map(({ total }) => total)), new Set([10]))
  assert.ok(found.mostInHand <= 4, `${found.mostInHand} at the same time`)
  // A failure passes its turn on as well.
  const failing = new RankingCache(
    { ...source, snapshot: () => Promise.reject(new StoreUnavailable('away')) },
    2 ** 28,
  )
  const failed = await Promise.allSettled(periods.map(period => failing.page(asked(period))))
  assert.ok(failed.every(({ status }) => status === 'rejected'))
})

test('gives a list that takes no time to read while many that do are read', async () => {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  const { source, found } = smallSource({ meanwhile: day => day === TODAY || gate, isInLine: false })
  // On a busy machine a small list may take longer than the default.
  const rankings = new RankingCache(source, 2 ** 28, 60_000)
  const viewsToday = async () => (await rankings.page(asked({ from: TODAY, to: TODAY }))).posts[0]?.views
  assert.equal(await viewsToday(), 5)
  const long = Array.from({ length: 10 }, (_, list) =>
    rankings.page(asked({ from: addDays(TODAY, -1 - list), to: TODAY })),
  )
  await turn()
  assert.equal(await viewsToday(), 5)
  found.views++
  assert.equal(await viewsToday(), 6)
  open()
  await Promise.all(long)
})

test('reads once more what was counted while a list took longer to read than it may be old', async () => {
  const today = { from: addDays(TODAY, -1), to: TODAY }
  for (const [maxBytes, days] of [
    [2 ** 28, 4],
    // Without a cache, everything would be read again, and take as long.
    [0, 2],
  ] as const) {
    const { source, found } = smallSource({
      async meanwhile() {
        if (found.daysRead !== 2) return
        await sleep(SLOW_MS)
        found.views++
      },
    })
    const rankings = new RankingCache(source, maxBytes)
    const question = { ...asked(today), maxAgeMs: SLOW_MS / 2 }
    const { ageMs, posts } = await rankings.page(question)
    assert.equal(found.daysRead, days)
    if (days === 2) continue
    assert.equal(posts[0]?.views, 12)
    assert.ok(ageMs <= -SLOW_MS + 1, `it is said to be read ${-ageMs} ms after it was asked`)
  }
})

test('gives another list between two days of a long one, also where that is read by the month', async () => {
  const begun = Promise.withResolvers<void>()
  const { source, found } = smallSource({
    async meanwhile() {
      begun.resolve()
      await turn()
    },
  })
  const rankings = new RankingCache(source, 2 ** 28)
  const long = rankings.page(asked({ from: '2025-01-01', to: TODAY }))
  await begun.promise
  assert.equal((await rankings.page(asked({ from: TODAY, to: TODAY }))).total, 10)
  assert.ok(found.daysRead < 28, `${found.daysRead} days were read before`)
  assert.equal((await long).posts[0]?.views, 5 * daysFrom('2025-01-01', TODAY).length)
})

/** The bytes of an empty cache. */
const EMPTY_BYTES = 4_096

test('is started anew when its thread has died', async t => {
  const { file } = await bigStore(t, 10, [TODAY])
  let started = 0
  const rankings = new Rankings(async () => {
    started++
    return { module: DYING_SOURCE, options: file }
  })
  t.after(() => rankings.close())
  const today = { from: TODAY, to: TODAY }
  assert.equal((await rankings.page(asked(today))).total, 10)
  for (const deadly of ['1999-01-01', '1998-01-01']) {
    const before = started
    const all = [asked({ from: deadly, to: deadly }), asked({ from: deadly, to: TODAY })]
    for (const result of await Promise.allSettled(all.map(question => rankings.page(question)))) {
      assert.ok(result.status === 'rejected' && result.reason instanceof StoreUnavailable)
    }
    assert.equal((await rankings.page(asked(today))).total, 10)
    // The old thread's end is reported by now. It must not be taken for the end of the new thread, which nobody would close then.
    await new Promise(resolve => setImmediate(resolve))
    assert.equal((await rankings.page(asked(today))).total, 10)
    assert.equal(started, before + 1)
  }
})

test('is asked again when it could not be started', async t => {
  const { file } = await bigStore(t, 10, [TODAY])
  let isThere = false
  const rankings = new Rankings(async () => {
    if (!isThere) throw new StoreUnavailable('away')
    return { module: DYING_SOURCE, options: file }
  })
  t.after(() => rankings.close())
  await assert.rejects(rankings.page(asked(null)), StoreUnavailable)
  isThere = true
  assert.equal((await rankings.page(asked(null))).total, 0)
})

test('says of what cannot be read which file it is in, and at what', async t => {
  const { store, file } = await bigStore(t, 10, [TODAY])
  {
    using database = new DatabaseSync(file.path, { timeout: 5_000 })
    database.exec('ALTER TABLE post_view_aggregates RENAME TO gone')
  }
  await assert.rejects(
    store.topPosts({ period: { from: TODAY, to: TODAY }, limit: 1 }),
    error =>
      error instanceof StoreUnavailable &&
      /^SQLite at \/.*\/views\.db: no such table: .*, at SELECT FROM post_view_aggregates$/.test(
        error.message,
      ),
  )
})

test('ends what is asked when it is closed, and its thread', async t => {
  const { file } = await bigStore(t, 3_000)
  const rankings = new Rankings(async () => ({ module: DYING_SOURCE, options: file }))
  const outcome = rankings.page(asked(MONTH)).then(
    () => 'answered',
    error => error,
  )
  await rankings.close()
  assert.ok((await outcome) instanceof StoreUnavailable)
  await assert.rejects(rankings.page(asked(null)), StoreUnavailable)
})
