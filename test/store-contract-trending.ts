/** The contract: what it takes to find the posts that stand out. */

import assert from 'node:assert/strict'
import type { Who } from '../packages/analytics/src/store/figures.ts'
import type { RisingQuestion } from '../packages/analytics/src/store/store.ts'
import { boundOf } from '../packages/analytics/src/store/trending.ts'
import type { Promises } from './store-contract-database.ts'
import { GOOGLEBOT, OTHER_POST, POST, record, view } from './support/views.ts'

const DAYS = { from: '2026-03-09', to: '2026-03-10' }
const BEFORE = { from: '2026-03-06', to: '2026-03-08' }
const SITE = { siteLast: 80, siteUsual: 60, share: 1 / 3 }

/** The views of people and of bots on the days before, and on the days; on none of them. */
const POSTS: Record<string, { people: [number, number]; bots: [number, number]; older?: number }> = {
  rises: { people: [3, 30], bots: [0, 0] },
  steady: { people: [30, 20], bots: [0, 0] },
  crawled: { people: [6, 4], bots: [3, 40] },
  few: { people: [0, 9], bots: [0, 0], older: 50 },
  new: { people: [0, 12], bots: [0, 2] },
  gone: { people: [9, 0], bots: [0, 0] },
}

export function trendingContract(promises: Promises): void {
  for (const bots of ['count', 'exclude'] as const) {
    promises(`finds the posts that may stand out, if bots are to ${bots}`, async ({ open }) => {
      const store = await open({ bots })
      const views = (day: string, postUuid: string, count: number, userAgent?: string) =>
        Array.from({ length: count }, () =>
          view(`${day}T12:00:00Z`, { postUuid, ...(userAgent && { userAgent }) }),
        )
      await record(
        store,
        Object.entries(POSTS).flatMap(([post, { people, bots, older = 0 }]) => [
          ...views('2026-03-05', post, older),
          ...views('2026-03-06', post, people[0]),
          ...views('2026-03-08', post, bots[0], GOOGLEBOT),
          ...views('2026-03-09', post, people[1]),
          ...views('2026-03-10', post, bots[1], GOOGLEBOT),
          ...views('2026-03-11', post, 100),
        ]),
      )
      const found = async (who: Who, page: Partial<RisingQuestion> = {}) => {
        const question = { who, days: DAYS, before: BEFORE, site: SITE, limit: 10, offset: 0, ...page }
        const { ageMs: _, revision: __, ...rising } = await store.risingPosts(question)
        return rising
      }
      const expected = (who: Who, isCompared = true, site = SITE) => {
        const counted = Object.entries(POSTS).map(([post_uuid, { people, bots }]) => {
          const [viewsBefore, views] = [0, 1].map(
            at => (who === 'bots' ? 0 : people[at]!) + (who === 'people' ? 0 : bots[at]!),
          ) as [number, number]
          return { post_uuid, views, viewsBefore: isCompared ? viewsBefore : 0 }
        })
        return {
          posts: counted
            .map(post => ({ ...post, bound: boundOf(post.views, post.viewsBefore, site) }))
            .filter(post => post.views >= 10 && post.bound > 0)
            .sort((a, b) => b.bound - a.bound),
          postsBefore: counted.filter(({ viewsBefore }) => viewsBefore > 0).length,
        }
      }
      for (const who of ['people', 'bots', 'all'] as const)
        assert.deepEqual(await found(who), expected(who), who)
      const { posts } = expected('people')
      assert.deepEqual(
        posts.map(post => post.post_uuid),
        ['rises', 'new', 'steady'],
      )
      assert.deepEqual((await found('people', { limit: 1, offset: 1 })).posts, posts.slice(1, 2))
      assert.deepEqual(await found('all', { before: null }), expected('all', false))
      // Where the site has risen as well, fewer posts stand out.
      const risen = { ...SITE, siteLast: 800 }
      assert.ok(expected('people', true, risen).posts.length < posts.length)
      assert.deepEqual(await found('people', { site: risen }), expected('people', true, risen))
    })
  }

  promises('answers the hours of many posts as those of each', async ({ open }) => {
    const store = await open()
    const posts = [POST, OTHER_POST, 'few', 'never-viewed']
    await record(store, [
      // Packed at once.
      ...Array.from({ length: 20 }, (_, index) =>
        view(`2026-03-${index % 2 === 0 ? '09' : '10'}T0${index % 10}:00:00Z`, {
          ...(index % 3 === 0 && { userAgent: GOOGLEBOT }),
        }),
      ),
      view('2026-03-10T12:00:00Z', { postUuid: OTHER_POST }),
      view('2026-03-10T13:00:00Z', { postUuid: OTHER_POST, userAgent: GOOGLEBOT }),
      view('2026-03-09T23:59:59Z', { postUuid: 'few' }),
      view('2026-03-08T12:00:00Z', { postUuid: 'few' }),
    ])
    const all = () => true
    const hours = await store.breakdownDaysOfPosts('hour', posts, DAYS.from, DAYS.to, all)
    assert.deepEqual([...hours.keys()], posts)
    for (const post of posts)
      assert.deepEqual(
        hours.get(post)!.toSorted((a, b) => (a.date < b.date ? -1 : 1)),
        (await store.breakdownDays('hour', post, DAYS.from, DAYS.to, all)).toSorted((a, b) =>
          a.date < b.date ? -1 : 1,
        ),
      )
    assert.deepEqual(
      hours.get(OTHER_POST)![0]!.values,
      new Map([
        ['12', { views: 1, bots: 0 }],
        ['13', { views: 1, bots: 1 }],
      ]),
    )
    assert.deepEqual(await store.breakdownDaysOfPosts('hour', [], DAYS.from, DAYS.to, all), new Map())
  })
}
