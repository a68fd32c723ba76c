/** The contract: the posts with most views, any page of any period. */

import assert from 'node:assert/strict'
import { addDays } from '../packages/analytics/src/store/days.ts'
import type { PostFigures } from '../packages/analytics/src/store/store.ts'
import { type Promises, topOf } from './store-contract-database.ts'
import { record, view } from './support/views.ts'

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
      .sort((a, b) => b.views - a.views || Buffer.compare(Buffer.from(a.post_uuid), Buffer.from(b.post_uuid)))
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
      const { ageMs, posts } = await store.topPosts(period, 10, 0)
      assert.deepEqual([ageMs, posts[0]?.views], [0, counted])
      await record(another, [view(`${DAY}T12:00:00Z`)])
      counted++
      // What it says of its age is true: read before, it lacks what was counted since.
      const older = await store.topPosts(period, 10, 0, 60_000)
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
