/** The contract: the posts with most views, any page of any period. */

import assert from 'node:assert/strict'
import { addDays } from '../packages/analytics/src/store/days.ts'
import type { Who } from '../packages/analytics/src/store/figures.ts'
import type { PostFigures } from '../packages/analytics/src/store/store.ts'
import { listOf, type Promises, topOf } from './store-contract-database.ts'
import { GOOGLEBOT, record, view } from './support/views.ts'

const DAY = '2026-03-10'
const PERIODS = [null, { from: DAY, to: DAY }, { from: '2025-11-03', to: DAY }] as const
/** Ids of all lengths and both cases, such as differ in their first bytes, in their last, or in length alone. */
const IDS = [
  ...Array.from({ length: 300 }, (_, number) => String(number + 1)),
  ...Array.from({ length: 60 }, (_, number) => `a`.repeat(number % 36 || 1) + (number < 36 ? '' : '-b')),
  ...['A', '_', 'z', 'Z9', 'z9', '-', '--', 'post_1', 'post-1', 'POST-1'],
  ...Array.from(
    { length: 200 },
    (_, number) => `0190a000-0000-7000-8000-${String(number * 7).padStart(12, '0')}`,
  ),
].map(id => id.slice(0, 36))

export function topContract(promises: Promises): void {
  promises('lists any page of posts, equals by the bytes of their ids', async ({ open }) => {
    const store = await open()
    const views = new Map(
      [...new Set(IDS)].map((id, index) => [id, index % 50 === 0 ? 3 + index / 50 : 1 + (index % 2)]),
    )
    await record(
      store,
      [...views].flatMap(([postUuid, count]) =>
        Array.from({ length: count }, (_, reader) =>
          view(`${DAY}T12:00:00Z`, { postUuid, ip: `192.0.2.${reader}` }),
        ),
      ),
    )
    const ranked = [...views]
      .map(([post_uuid, count]): PostFigures => ({ post_uuid, views: count, unique_views: count }))
      .sort(
        (a, b) => b.views! - a.views! || Buffer.compare(Buffer.from(a.post_uuid), Buffer.from(b.post_uuid)),
      )
    const total = ranked.length
    for (const period of PERIODS) {
      for (const [limit, offset] of [
        [1_000, 0],
        [7, 0],
        [7, 250],
        [100, total - 40],
        [1, total - 1],
        [10, total],
        [10, 10_000_000],
      ] as const) {
        assert.deepEqual(await topOf(store, period, limit, offset), {
          total,
          posts: ranked.slice(offset, offset + limit),
        })
      }
    }
  })

  promises('lists posts by any figure, from either end, equals by id', async ({ open }) => {
    const store = await open()
    const counts: Record<string, readonly [before: number, views: number, readers: number]> = {
      b: [0, 4, 1],
      aB: [6, 2, 2],
      Ab: [6, 2, 2],
      lost: [5, 0, 0],
      'lost-2': [5, 0, 0],
      same: [3, 3, 3],
      '42': [1, 9, 1],
      old: [0, 0, 0],
    }
    await record(store, [
      view('2026-03-05T23:59:59Z', { postUuid: 'old' }),
      ...Object.entries(counts).flatMap(([postUuid, [before, views, readers]]) => [
        ...Array.from({ length: before }, (_, index) =>
          view(index % 2 === 0 ? '2026-03-06T00:00:00Z' : '2026-03-07T23:59:59Z', { postUuid }),
        ),
        ...Array.from({ length: views }, (_, index) =>
          view(index % 2 === 0 ? '2026-03-08T00:00:00Z' : '2026-03-08T23:59:59Z', {
            postUuid,
            ip: `192.0.2.${index % readers}`,
          }),
        ),
      ]),
    ])
    const period = { from: '2026-03-08', to: '2026-03-09' }
    for (const [sort, desc, asc] of [
      ['views', '42 b same Ab aB', 'Ab aB same b 42'],
      ['unique_views', 'same Ab aB 42 b', '42 b Ab aB same'],
      ['change', '42 b same Ab aB lost lost-2', 'lost lost-2 Ab aB same b 42'],
    ] as const) {
      for (const [order, ids] of [
        ['desc', desc.split(' ')],
        ['asc', asc.split(' ')],
      ] as const) {
        for (const offset of [0, 1, 3, ids.length]) {
          const { total, posts } = await listOf(store, { period, sort, order, limit: 3, offset })
          assert.deepEqual(
            [total, posts.map(post => post.post_uuid)],
            [ids.length, ids.slice(offset, offset + 3)],
            `${sort} ${order} ${offset}`,
          )
        }
      }
    }
    const least = { period, sort: 'change', order: 'asc', limit: 3 } as const
    assert.deepEqual((await listOf(store, least)).posts, [
      { post_uuid: 'lost', views: 0, unique_views: 0, previous_views: 5, change: -5 },
      { post_uuid: 'lost-2', views: 0, unique_views: 0, previous_views: 5, change: -5 },
      { post_uuid: 'Ab', views: 2, unique_views: 2, previous_views: 6, change: -4 },
    ])
    const fewest = await listOf(store, { period: null, sort: 'unique_views', order: 'asc', limit: 2 })
    assert.deepEqual(
      fewest.posts.map(post => post.post_uuid),
      ['b', 'old'],
    )
  })

  for (const bots of ['count', 'exclude'] as const) {
    promises(`lists posts by the views of people, of bots or of all (${bots})`, async ({ open }) => {
      const store = await open({ bots })
      // Readers who are a person, a bot, or both, and posts that have one kind alone.
      const kinds = { p: [{}], b: [{ userAgent: GOOGLEBOT }], x: [{}, { userAgent: GOOGLEBOT }] } as const
      const days = {
        '2026-03-06': ['p', 'bb', 'xx', '', 'ppppx'],
        '2026-03-08': ['ppbb', 'bbb', 'xp', 'pb', 'b'],
      }
      await record(
        store,
        Object.entries(days).flatMap(([day, readers]) =>
          readers.flatMap((each, post) =>
            [...each].flatMap((kind, reader) =>
              // The first reader twice, so that views are not unique views.
              Array.from({ length: reader === 0 ? 2 : 1 }).flatMap(() =>
                kinds[kind as keyof typeof kinds].map(agent =>
                  view(`${day}T12:00:00Z`, { postUuid: `post-${post}`, ip: `192.0.2.${reader}`, ...agent }),
                ),
              ),
            ),
          ),
        ),
      )
      const ids = days['2026-03-06'].map((_, post) => `post-${post}`)
      const [before, now] = await Promise.all(
        ['2026-03-06', '2026-03-08'].map(
          day => async (who: Who) =>
            new Map([...(await store.postDays(ids, day, day, who))].map(([id, [found]]) => [id, found])),
        ),
      )
      const week = { from: '2026-03-08', to: '2026-03-09' }
      for (const who of ['people', 'bots', 'all', undefined] as const) {
        const totals = new Map((await store.postTotals(ids, who)).map(post => [post.post_uuid, post]))
        const [earlier, later] = [await before!(who), await now!(who)]
        for (const period of [null, week, { from: '2026-03-06', to: '2026-03-08' }]) {
          const counted = period === week ? later : totals
          for (const sort of ['views', 'unique_views', 'change'] as const) {
            if (period !== week && sort === 'change') continue
            const expected = ids
              .map((post_uuid): PostFigures => {
                const { views, unique_views } = counted.get(post_uuid) ?? { views: 0, unique_views: 0 }
                const previous_views = earlier.get(post_uuid)?.views ?? 0
                const change = { previous_views, change: views! - previous_views }
                return { post_uuid, views, unique_views, ...(sort === 'change' && change) }
              })
              .filter(post => post.views! > 0 || (post.previous_views ?? 0) > 0)
            for (const [order, sign] of [
              ['desc', -1],
              ['asc', 1],
            ] as const)
              assert.deepEqual(
                await listOf(store, { period, who, sort, order, limit: 10 }),
                {
                  total: expected.length,
                  posts: expected.toSorted((a, b) => sign * (a[sort]! - b[sort]!)),
                },
                `${who} ${period?.from} ${sort} ${order}`,
              )
          }
        }
      }
      const { posts } = await listOf(store, { period: week, who: 'people', limit: 1 })
      assert.deepEqual(posts, [{ post_uuid: 'post-0', views: 3, unique_views: 2 }])
      const { posts: crawled } = await listOf(store, { period: week, who: 'bots', limit: 1 })
      assert.deepEqual(crawled, [{ post_uuid: 'post-1', views: 4, unique_views: 3 }])
    })
  }

  promises(
    'lists what came later in a list by change, also on a day of the period before',
    async ({ open }) => {
      const [store, another] = [await open(), await open()]
      const question = { period: { from: DAY, to: DAY }, sort: 'change', limit: 10 } as const
      const changes = async () =>
        (await listOf(store, question)).posts.map(({ post_uuid, change }) => [post_uuid, change])
      await record(another, [view(`${DAY}T12:00:00Z`, { postUuid: 'a' })])
      assert.deepEqual(await changes(), [['a', 1]])
      const late = Array.from({ length: 2 }, () => view(`${addDays(DAY, -1)}T12:00:00Z`, { postUuid: 'a' }))
      await record(another, late)
      assert.deepEqual(await changes(), [['a', -1]])
      await record(another, [view(`${addDays(DAY, -2)}T12:00:00Z`, { postUuid: 'a' })])
      assert.deepEqual(await changes(), [['a', -1]])
    },
  )

  promises('lists a post that was not known before in its place', async ({ open }) => {
    const [store, another] = [await open(), await open()]
    const idsOf = async () => {
      const { posts } = await topOf(store, { from: DAY, to: DAY }, 10, 0)
      return posts.map(post => post.post_uuid).join(' ')
    }
    await record(
      another,
      ['m', 'b', 'x'].map(postUuid => view(`${DAY}T12:00:00Z`, { postUuid })),
    )
    assert.equal(await idsOf(), 'b m x')
    await record(
      another,
      ['n', 'a', 'z', 'longer-than-all-there-were'].map(postUuid => view(`${DAY}T12:00:00Z`, { postUuid })),
    )
    assert.equal(await idsOf(), 'a b longer-than-all-there-were m n x z')
    await record(another, [view(`${DAY}T12:00:00Z`, { postUuid: 'n' })])
    assert.equal(await idsOf(), 'n a b longer-than-all-there-were m x z')
  })

  promises('lists the same however little of it may be kept in memory', async ({ open }) => {
    const store = await open()
    const days = Array.from({ length: 130 }, (_, index) => addDays(DAY, -index))
    await record(
      store,
      days.flatMap((day, index) =>
        ['every-day', `of-${day}`, `of-one-of-${index % 9}`].map(postUuid =>
          view(`${day}T12:00:00Z`, { postUuid }),
        ),
      ),
    )
    const moved = { period: { from: days[20]!, to: days[3]! }, sort: 'change', limit: 1_000 } as const
    const changed = await listOf(store, moved)
    assert.equal(changed.total, 46)
    const pages = [
      null,
      { from: days.at(-1)!, to: DAY },
      { from: days[20]!, to: days[3]! },
      { from: DAY, to: DAY },
    ]
    const all = await Promise.all(pages.map(period => topOf(store, period, 1_000, 0)))
    assert.deepEqual(
      all.map(({ total }) => total),
      [140, 140, 28, 3],
    )
    // Nothing at all; some days and lists.
    for (const bytes of [0, 60_000]) {
      const small = await open({}, { rankingBytes: bytes })
      for (let turn = 0; turn < 2; turn++) {
        for (const [index, period] of pages.entries()) {
          assert.deepEqual((await topOf(small, period, 20, 2)).posts, all[index]!.posts.slice(2, 22))
        }
        assert.deepEqual(await listOf(small, moved), changed)
      }
    }
    const asked = await Promise.all([...pages, ...pages].map(period => topOf(store, period, 1_000, 0)))
    assert.deepEqual(asked, [...all, ...all])
  })

  promises('says how old a list is, and gives none that is older than was asked for', async ({ open }) => {
    const [store, another] = [await open(), await open()]
    const period = { from: DAY, to: DAY }
    for (let counted = 0; counted < 6; ) {
      await record(another, [view(`${DAY}T12:00:00Z`)])
      counted++
      const { ageMs, posts } = await store.topPosts({ period, limit: 10 })
      assert.deepEqual([ageMs, posts[0]?.views], [0, counted])
      await record(another, [view(`${DAY}T12:00:00Z`)])
      counted++
      // What it says of its age is true: read before, it lacks what was counted since.
      const older = await store.topPosts({ period, limit: 10, maxAgeMs: 60_000 })
      assert.equal(older.posts[0]?.views, older.ageMs === 0 ? counted : counted - 1)
    }
  })

  promises('answers nothing once it is closed', async ({ openAsIs, open }) => {
    await open()
    const store = await openAsIs()
    await topOf(store, null, 10, 0)
    const asked = [topOf(store, null, 10, 0), topOf(store, { from: '2000-01-01', to: DAY }, 10, 0)]
    const outcomes = Promise.allSettled(asked)
    await store.close()
    for (const outcome of await outcomes) {
      if (outcome.status === 'rejected') assert.equal(outcome.reason.name, 'StoreUnavailable')
    }
    await assert.rejects(topOf(store, null, 10, 0), { name: 'StoreUnavailable' })
  })
}
