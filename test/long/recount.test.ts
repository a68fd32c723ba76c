/** Verify and rebuild on days that take many steps, beside ingest: what comes between two of them is no difference, and is kept. */

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import type { View } from '@postviews/client/src/index.ts'
import { openStore } from '../../packages/analytics/src/store/open.ts'
import type { Difference, Progress, Store } from '../../packages/analytics/src/store/store.ts'
import { assertVerified, differencesIn } from '../store-contract-database.ts'
import { randomOf } from '../store-contract-random.ts'
import { everythingIn, recount } from '../store-contract-recount.ts'
import { atEnd } from '../support/at-end.ts'
import { ENGINES, SQLITE, type TestEngine } from '../support/engines.ts'
import { FIREFOX, GOOGLEBOT, record, unix, untilAvailable, view } from '../support/views.ts'

const SETTINGS = { timeZone: 'UTC', windowHours: 24, uniqueBy: 'ip', bots: 'count' } as const
const POSTVIEWS = join(import.meta.dirname, '../../packages/analytics/src/postviews.mjs')
const KEEP = { adoptSettings: false } as const
const [DAY, NEXT, THIRD] = ['2026-03-28', '2026-03-29', '2026-03-30'] as const
/** Some steps of a rebuild. */
const POSTS = Array.from({ length: 250 }, (_, number) => `post-${number}`)

async function databaseOf(t: TestContext, engine: TestEngine) {
  const database = await engine.create(t)
  const open = async (): Promise<Store> => {
    const store = await openStore(database.url, SETTINGS)
    atEnd(t, () => store.close())
    return store
  }
  const store = await open()
  await store.migrate()
  return { ...database, store, open }
}

/** A day on which every post was viewed, each by some readers. */
function viewsOf(posts: readonly string[], seed: number): View[] {
  const random = randomOf(seed)
  return posts.flatMap(postUuid =>
    Array.from({ length: 2 }, () =>
      view(`${DAY}T00:00:00Z`, {
        postUuid,
        ip: `192.0.2.${random(1, 9)}`,
        userAgent: random(1, 3) === 1 ? GOOGLEBOT : FIREFOX,
        viewedAt: unix(`${DAY}T00:00:00Z`) + random(0, 86_399),
      }),
    ),
  )
}

/** Records views of those posts until it is stopped; tells then which. */
function recording(store: Store, posts: readonly string[]): { stop(): Promise<View[]> } {
  const recorded: View[] = []
  let stopped = false
  const done = (async () => {
    for (let seed = 100; !stopped; seed++) {
      const views = viewsOf(posts, seed).filter((_, index) => (index + seed) % 7 === 0)
      await untilAvailable(() => record(store, views))
      recorded.push(...views)
    }
  })()
  return {
    async stop() {
      stopped = true
      await done
      return recorded
    },
  }
}

async function assertCounts(store: Store, views: readonly View[]): Promise<void> {
  const question = { posts: [...POSTS.slice(0, 40), 'ghost'], from: DAY, to: THIRD }
  const without = (answers: object) => ({ ...answers, minutes: [] })
  assert.deepEqual(without(await everythingIn(store, question)), without(recount(views, SETTINGS, question)))
}

const DAMAGES = [
  'UPDATE post_view_aggregates SET view_count = view_count + 4, unique_views = 1, logged_in = 5',
  `UPDATE post_view_aggregates SET first_viewed_at = last_viewed_at WHERE post_uuid LIKE '%1'`,
  `UPDATE post_view_aggregates SET last_viewed_at = NULL, bots = NULL WHERE post_uuid LIKE '%2'`,
  `DELETE FROM post_view_aggregates WHERE post_uuid LIKE '%3'`,
  `INSERT INTO post_view_aggregates (post_uuid, date, view_count, unique_views, logged_in, bots)
   VALUES ('ghost', '${DAY}', 3, 2, 1, 0)`,
  'UPDATE site_view_aggregates SET view_count = 1',
  'UPDATE post_view_totals SET views = views + 2',
  `DELETE FROM post_view_totals WHERE post_uuid LIKE '%4'`,
  `DELETE FROM post_view_visitors WHERE post_uuid LIKE '%5'`,
  `INSERT INTO post_view_visitors (day, post_uuid, slice, visitor, seen)
   SELECT day, post_uuid, slice, MAX(x'00112233445566778899aabbccddeeff'), 1
   FROM post_view_visitors WHERE post_uuid LIKE '%6' GROUP BY day, post_uuid, slice`,
  `UPDATE post_view_aggregates SET bot_unique_views = 9, shared_unique_views = 1, bot_logged_in = 3 WHERE post_uuid LIKE '%7'`,
  `UPDATE post_view_visitors SET seen = 3 WHERE post_uuid LIKE '%8'`,
]

for (const engine of ENGINES) {
  describe(`on ${engine.name}`, () => {
    test('a broken day is put right beside hard ingest, and nothing is lost or counted twice', async t => {
      const { store, open, query } = await databaseOf(t, engine)
      const views = viewsOf(POSTS, 1)
      await record(store, views)
      for (const damage of DAMAGES) await query(damage)
      const consuming = recording(await open(), POSTS)
      await untilAvailable(() => store.rebuild(KEEP))
      const all = [...views, ...(await consuming.stop())]
      await assertVerified(store)
      await assertCounts(store, all)
    })

    test('two rebuilds at once correct a difference once', async t => {
      const { url, store, query } = await databaseOf(t, engine)
      const views = viewsOf(POSTS, 1)
      await record(store, views)
      // Nothing that would be looked at once more in any case.
      await query('UPDATE post_view_aggregates SET view_count = view_count + 4')
      let hasLooked = false
      await store.rebuild(KEEP, step => {
        if (step !== 'days' || hasLooked) return
        hasLooked = true
        // From beginning to end, while what this one has begun to read is still wrong.
        execFileSync(process.execPath, [POSTVIEWS, 'rebuild'], {
          env: { ...process.env, DATABASE_URL: url, UNIQUE_BY: SETTINGS.uniqueBy },
        })
      })
      assert.ok(hasLooked)
      await assertVerified(store)
      await assertCounts(store, views)
    })

    test('batches go on while one day is put right', async t => {
      const { store, open, query } = await databaseOf(t, engine)
      await record(store, viewsOf(POSTS, 1))
      for (const damage of DAMAGES) await query(damage)
      const consumer = await open()
      await consumer.checkSettings()
      const events: string[] = []
      let recorded: Promise<unknown> | undefined
      const progress: Progress = (step, done, total) => {
        if (step !== 'days') return
        if (done === total) events.push('the day is right')
        recorded ??= untilAvailable(() => record(consumer, viewsOf(POSTS, 2))).then(() =>
          events.push('a batch is recorded'),
        )
      }
      await store.rebuild(KEEP, progress)
      await recorded
      assert.deepEqual(events, ['a batch is recorded', 'the day is right'])
      await assertVerified(store)
    })

    test('a rebuild that ends between two steps leaves totals that add up, and the next goes on', async t => {
      const { store, query } = await databaseOf(t, engine)
      const views = viewsOf(POSTS, 1)
      await record(store, views)
      await query('UPDATE post_view_aggregates SET view_count = view_count + 1')
      await query('UPDATE post_view_totals SET views = views + 1')
      let wrong: Record<string, number> = {}
      // Some steps read before the first that corrects: it ends at a later one each time, until some are right.
      for (let last = 1; wrong['aggregate'] === undefined || wrong['aggregate'] === POSTS.length; last++) {
        let left = last
        await assert.rejects(
          store.rebuild(KEEP, step => {
            if (step === 'days' && --left === 0) throw new Error('ended')
          }),
          /ended/,
        )
        wrong = countsOf(await differencesIn(store))
      }
      // Of each post both are wrong, or neither.
      assert.equal(wrong['total'], wrong['aggregate'])
      await store.rebuild(KEEP)
      await assertVerified(store)
      await assertCounts(store, views)
    })

    test('a day is proven that is read in many parts', async t => {
      const { store, query } = await databaseOf(t, engine)
      const noon = `${DAY}T12:00:00Z`
      const address = (number: number) => `10.1.${number >> 8}.${number & 255}`
      const ofOnePost = Array.from({ length: 5_500 }, (_, number) =>
        view(noon, { postUuid: 'many-readers', ip: address(number) }),
      )
      const ofManyPosts = Array.from({ length: 5_500 }, (_, number) =>
        view(number % 2 === 0 ? noon : `${NEXT}T00:00:00Z`, {
          postUuid: `p${String(number).padStart(5, '0')}`,
        }),
      )
      const lateReader = view(noon, { postUuid: 'many-readers', ip: '192.0.2.77', userId: '77' })
      for (const part of [ofOnePost, ofManyPosts, [lateReader]]) await record(store, part)
      await assertVerified(store)

      await query(`DELETE FROM post_view_visitors WHERE post_uuid = 'many-readers' AND visitor = (
        SELECT visitor FROM post_views WHERE user_id = '77')`)
      await query(`UPDATE post_view_aggregates SET unique_views = 0 WHERE post_uuid = 'p05499'`)
      await query(`UPDATE post_view_totals SET views = 7 WHERE post_uuid = 'p05498'`)
      await query(`UPDATE post_views SET slice = 3, viewed_at = viewed_at WHERE post_uuid = 'p05497'`)
      assert.deepEqual(countsOf(await differencesIn(store)), {
        row: 1,
        visitor: 3,
        aggregate: 1,
        total: 1,
      })
      await store.rebuild(KEEP)
      await assertVerified(store)
    })

    test('a row is found whatever day it says it was counted on', async t => {
      const { store, query } = await databaseOf(t, engine)
      await record(store, viewsOf(POSTS.slice(0, 3), 1))
      const nonsense = engine === SQLITE ? [`'nonsense'`] : []
      for (const day of ['NULL', `'2031-01-01'`, `'1999-12-31'`, ...nonsense]) {
        await query(`UPDATE post_views SET day = ${day}, viewed_at = viewed_at WHERE post_uuid = 'post-2'`)
        const rows = (await differencesIn(store)).filter(
          ({ kind, field }) => kind === 'row' && field === 'day',
        )
        assert.equal(rows.length, 2, day)
      }
      // This engine keeps as a day whatever it is given.
      if (engine === SQLITE) await query(`UPDATE site_view_aggregates SET date = 'nonsense'`)
      await store.rebuild(KEEP)
      await assertVerified(store)
    })
  })
}

test('a rebuild looks again however often somebody else puts something right meanwhile', async t => {
  const { store, query } = await databaseOf(t, SQLITE)
  await record(
    store,
    POSTS.map(postUuid => view(`${DAY}T12:00:00Z`, { postUuid, referer: 'https://a.example/' })),
  )
  await query(
    `UPDATE post_view_breakdowns SET counts = '{"referrer":{"values":{"a.example":1}}}' WHERE post_uuid = ''`,
  )
  let left = 90
  await store.rebuild(KEEP, step => {
    if (step !== 'days' || --left < 0) return
    // As a day does that is opened again. Statements of this engine are done at once.
    void query('UPDATE post_view_rebuilds SET rebuilds = rebuilds + 1')
  })
  assert.ok(left < 0)
  await assertVerified(store)
})

/** Blocks: what runs meanwhile in another program is one statement. */
const SNAPSHOT_MS = 1_100

function afterASlowDay(work: () => void): Progress {
  let isFirst = true
  return step => {
    if (step !== 'rows' || !isFirst) return
    isFirst = false
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SNAPSHOT_MS)
    work()
  }
}

describe('verify', () => {
  async function threeDays(t: TestContext) {
    const database = await databaseOf(t, SQLITE)
    const times = [DAY, NEXT, THIRD].map(day => `${day}T12:00:00Z`)
    await record(
      database.store,
      times.map(time => view(time)),
    )
    return database
  }

  /** While the first day is read, which takes long, something happens. Statements of this engine are done at once. */
  async function differencesWhen(
    { store, query }: Awaited<ReturnType<typeof threeDays>>,
    statements: readonly string[],
  ): Promise<Difference[]> {
    const differences: Difference[] = []
    const happens = afterASlowDay(() => {
      for (const statement of statements) void query(statement)
    })
    await store.verify(difference => differences.push(difference), happens)
    return differences
  }

  test('holds no snapshot for longer than a day takes: it sees what happens to a later one meanwhile', async t => {
    const database = await threeDays(t)
    const damage = `UPDATE post_view_aggregates SET view_count = 7 WHERE date = '${THIRD}'`
    const differences = await differencesWhen(database, [damage])
    assert.deepEqual(countsOf(differences), { aggregate: 1 })
  })

  test('names nothing of a day that retention removes, or closes, while another is read', async t => {
    const database = await threeDays(t)
    const differences = await differencesWhen(database, [
      // As retention does: what breakdowns take from the rows themselves is written before these are gone.
      `INSERT INTO post_view_breakdowns (date, post_uuid, counts)
       SELECT day, post_views.post_uuid, counts FROM post_views JOIN post_view_breakdowns ON date = day`,
      'DELETE FROM post_view_unpacked',
      `DELETE FROM post_views WHERE day < '${THIRD}'`,
      `UPDATE post_view_state SET raw_from = '${THIRD}'`,
    ])
    assert.deepEqual(differences, [])
  })

  test('names nothing of a day that is closed while another is read', async t => {
    const database = await threeDays(t)
    const differences = await differencesWhen(database, [
      `UPDATE post_view_state SET open_from = '2026-04-01'`,
      'DELETE FROM post_view_day_keys',
      'DELETE FROM post_view_visitors',
    ])
    assert.deepEqual(differences, [])
  })

  test('names a wrong day once, also where it is counted on before its total is looked at', async t => {
    const database = await threeDays(t)
    await database.query(`UPDATE post_view_aggregates SET view_count = 7 WHERE date = '${DAY}'`)
    // As a batch does.
    const rows = `INSERT INTO post_views
      (post_uuid, viewed_at, received_at, day, slice, logged_in, bot, visitor, referer_host)
      SELECT post_uuid, viewed_at, received_at, day, slice, logged_in, bot, visitor, referer_host
      FROM post_views WHERE day = '${DAY}'`
    const differences = await differencesWhen(database, [
      rows,
      `UPDATE post_view_aggregates SET view_count = view_count + 1 WHERE date = '${DAY}'`,
      `UPDATE site_view_aggregates SET view_count = view_count + 1 WHERE date = '${DAY}'`,
      // The new row is one of those whose other values are unknown.
      `UPDATE post_view_breakdowns SET counts = REPLACE(counts, '"referrer":{"values":{"":1}', '"referrer":{"values":{"":2}')
       WHERE date = '${DAY}'`,
      'UPDATE post_view_totals SET views = views + 1, detailed_views = detailed_views + 1',
    ])
    assert.deepEqual(countsOf(differences), { aggregate: 1 })
  })

  test('refuses to go on once other settings are adopted', async t => {
    const database = await threeDays(t)
    await assert.rejects(
      differencesWhen(database, ['UPDATE post_view_state SET agreement = agreement + 1']),
      /all processes must share has been replaced/,
    )
  })
})

/** How many differences there are of each kind. */
function countsOf(differences: readonly Difference[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { kind } of differences) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}
