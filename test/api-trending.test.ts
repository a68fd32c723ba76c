/** Which posts stand out, read from a real store, and compared with a plain recount of the views. */

import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import type { ViewEvent } from '@postviews/client/src/index.ts'
import { addDays, daysFrom } from '../packages/analytics/src/store/days.ts'
import { startApi } from './support/api.ts'

const GPTBOT = 'Mozilla/5.0 (compatible; GPTBot/1.2; +https://openai.com/gptbot)'
/** It is 12:34:56, so the last 24 full hours began at noon of the day before, and what is usual is counted before that day. */
const TODAY = '2026-11-21'
const YESTERDAY = '2026-11-20'
const USUAL = daysFrom('2026-10-23', '2026-11-19')
const TRENDING = '/api/v1/posts/trending'

interface Trend {
  post_uuid: string
  score: number
  last_24h: number
  usual_24h: number | null
  site_last_24h: number
  site_usual_24h: number | null
}

const viewsOf = (post_uuid: string, timestamp: string, count: number, more: object = {}) =>
  Array.from({ length: count }, (): ViewEvent => ({ post_uuid, timestamp, ...more }))
/** The same views on each of the 28 days. */
const usually = (post: string, count: number, more: object = {}) =>
  USUAL.flatMap(day => viewsOf(post, `${day}T09:00:00Z`, count, more))
/** A message has at most 1,000 events. */
async function countAll(count: (events: ViewEvent[]) => unknown, events: readonly ViewEvent[]) {
  for (let at = 0; at < events.length; at += 1_000) await count(events.slice(at, at + 1_000))
}
const rounded = (value: number) => Math.round(value * 100) / 100

/** The answer in UTC, from a site that has had views for 28 days or more, counted the plain way. `until`: the last full hour. */
function recounted(events: readonly ViewEvent[], limit: number, until = `${TODAY}T12`): Trend[] {
  const posts = [...new Set(events.map(({ post_uuid }) => String(post_uuid)))]
  const dayOf = ({ timestamp }: ViewEvent) => String(timestamp).slice(0, 10)
  const [today, hour] = [until.slice(0, 10), until.slice(11)]
  const [first, to] = [addDays(today, -1), `${today}T${hour}:00:00Z`]
  const usual = daysFrom(addDays(first, -28), addDays(first, -1))
  const isLast = ({ timestamp }: ViewEvent) =>
    String(timestamp) >= `${first}T${hour}:00:00Z` && String(timestamp) < to
  const isUsual = (event: ViewEvent) => dayOf(event) >= usual[0]! && dayOf(event) < first
  const siteLast = events.filter(isLast).length
  const siteUsual = events.filter(isUsual).length / 28
  const viewedBefore = posts.filter(post => events.some(event => event.post_uuid === post && isUsual(event)))
  return posts
    .map(post_uuid => {
      const own = events.filter(event => event.post_uuid === post_uuid)
      const last = own.filter(isLast).length
      const before = own.filter(isUsual).length
      const [viewed] = own.map(dayOf).sort()
      const ownDays = usual.filter(day => day >= viewed!).length
      const ofPost = ownDays === 0 ? null : before / ownDays
      const growth = (siteLast - last + 10) / (siteUsual - before / 28 + 10)
      const expected = (ofPost ?? siteUsual / viewedBefore.length) * growth
      return { post_uuid, last, ofPost, score: (last - expected) / Math.sqrt(expected + 10) }
    })
    .filter(({ last, score }) => last >= 10 && rounded(score) > 0)
    .sort((a, b) => b.score - a.score || (a.post_uuid < b.post_uuid ? -1 : 1))
    .slice(0, limit)
    .map(({ post_uuid, last, ofPost, score }) => ({
      post_uuid,
      score: rounded(score),
      last_24h: last,
      usual_24h: ofPost === null ? null : rounded(ofPost),
      site_last_24h: siteLast,
      site_usual_24h: rounded(siteUsual),
    }))
}

test('answers the posts whose last 24 full hours stand out, and what is usual for them and the site', async t => {
  const { get, count } = await startApi(t)
  const events = [
    ...usually('rises', 2),
    ...usually('steady', 30),
    ...usually('sinks', 20),
    // Neither the hour that is not over, nor those before the 24 hours.
    ...viewsOf('rises', `${YESTERDAY}T11:59:59Z`, 100),
    ...viewsOf('rises', `${YESTERDAY}T12:00:00Z`, 15),
    ...viewsOf('rises', `${TODAY}T11:59:59Z`, 5),
    ...viewsOf('rises', `${TODAY}T12:00:00Z`, 100),
    ...viewsOf('steady', `${TODAY}T03:00:00Z`, 24),
    ...viewsOf('sinks', `${TODAY}T03:00:00Z`, 10),
  ]
  await countAll(count, events)
  const answer = await get(TRENDING)
  assert.equal(answer.statusCode, 200)
  assert.deepEqual(answer.json(), {
    as_of: '2026-11-21T12:34:56.000Z',
    details_since: null,
    posts: [
      // (20 - 2 * (54 - 20 + 10) / (52 - 2 + 10)) / sqrt(2 * 44 / 60 + 10)
      {
        post_uuid: 'rises',
        score: 5.47,
        last_24h: 20,
        usual_24h: 2,
        site_last_24h: 54,
        site_usual_24h: 52,
      },
    ],
  })
  assert.deepEqual(answer.json().posts, recounted(events, 10))
})

test('answers what a plain recount answers, however many posts there are', async t => {
  const { get, count } = await startApi(t)
  // Numbers that look random, and are the same in each run.
  let seed = 7
  const below = (end: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((seed / 2 ** 32) * end)
  }
  const events: ViewEvent[] = []
  for (let post = 0; post < 400; post++) {
    const first = below(3) === 0 ? below(30) : 0
    const usual = below(8)
    for (const [index, day] of daysFrom(USUAL[0]!, TODAY).entries()) {
      if (index < first || below(4) === 0) continue
      const views = index < 28 ? below(usual + 1) : below(usual * 3 + 12)
      for (let view = 0; view < views; view++) {
        const hour = String(day === TODAY ? below(13) : below(24)).padStart(2, '0')
        events.push(...viewsOf(`post-${post}`, `${day}T${hour}:00:00Z`, 1))
      }
    }
  }
  events.push(...usually('site', 9))
  await countAll(count, events)
  const all = recounted(events, 1_000)
  assert.ok(all.length > 110, `${all.length} posts`)
  for (const limit of [1, 3, 100, 1_000])
    assert.deepEqual((await get(`${TRENDING}?limit=${limit}`)).json().posts, all.slice(0, limit))
})

test('answers what a plain recount answers whenever it is asked: as views come, hours end and a day begins', async t => {
  let now = ''
  const { get, count } = await startApi(t, { now: () => Date.parse(now) })
  const posts = Array.from({ length: 30 }, (_, post) => `post-${post}`)
  const events = daysFrom('2026-10-20', '2026-11-18').flatMap(day =>
    posts.flatMap((post, index) => viewsOf(post, `${day}T10:00:00Z`, 1 + (index % 7))),
  )
  await countAll(count, events)
  let seed = 3
  const below = (end: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((seed / 2 ** 32) * end)
  }
  for (const until of [
    '2026-11-19T20',
    '2026-11-19T20',
    '2026-11-19T21',
    '2026-11-19T23',
    '2026-11-20T00',
    '2026-11-20T00',
    '2026-11-20T01',
    '2026-11-20T22',
    '2026-11-21T03',
  ]) {
    now = `${until}:59:59Z`
    // Views of the hour that is not over, and some that come late.
    const [day, hour] = [until.slice(0, 10), until.slice(11)]
    const came = posts.flatMap(post => [
      ...viewsOf(post, `${until}:30:00Z`, below(14)),
      ...viewsOf(post, `${addDays(day, -1)}T${hour}:59:59Z`, below(4)),
      ...viewsOf(post, `${addDays(day, -1)}T00:00:00Z`, below(4)),
    ])
    events.push(...came)
    await countAll(count, came)
    for (const limit of [3, 100])
      assert.deepEqual(
        (await get(`${TRENDING}?limit=${limit}`)).json().posts,
        recounted(events, limit, until),
        `${until} ${limit}`,
      )
  }
})

test('looks again at posts whose hours were put right', async t => {
  const { get, count, databasePath, store } = await startApi(t)
  const events = [
    ...usually('a', 2),
    ...viewsOf('a', `${TODAY}T08:00:00Z`, 30),
    ...viewsOf('b', `${TODAY}T08:00:00Z`, 40),
  ]
  await countAll(count, events)
  {
    using database = new DatabaseSync(databasePath)
    database.exec(
      `UPDATE post_view_breakdowns SET counts = REPLACE(counts, '"8":', '"12":') WHERE post_uuid = 'a' AND date = '${TODAY}'`,
    )
  }
  const idsOf = async () => (await get(TRENDING)).json().posts.map((post: Trend) => post.post_uuid)
  assert.deepEqual(await idsOf(), ['b'])
  await store.rebuild({ adoptSettings: false })
  assert.deepEqual(await idsOf(), ['b', 'a'])
})

test('leaves out posts with fewer than 10 views', async t => {
  const { get, count } = await startApi(t)
  await count([
    ...usually('site', 3),
    ...viewsOf('nine', `${TODAY}T08:00:00Z`, 9),
    ...viewsOf('nine', `${TODAY}T12:00:00Z`, 9),
    ...viewsOf('ten', `${TODAY}T08:00:00Z`, 10),
  ])
  const { posts } = (await get(TRENDING)).json()
  assert.deepEqual(
    posts.map((post: Trend) => post.post_uuid),
    ['ten'],
  )
})

test('a post that does as the site does, does not stand out; one that does better does', async t => {
  const { get, count } = await startApi(t)
  const posts = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
  const doubled = [
    ...posts.flatMap(post => usually(post, 20)),
    ...posts.flatMap(post => viewsOf(post, `${TODAY}T08:00:00Z`, 39)),
    ...usually('better', 20),
    ...viewsOf('better', `${TODAY}T08:00:00Z`, 100),
  ]
  await countAll(count, doubled)
  const answer = (await get(TRENDING)).json()
  assert.deepEqual(
    answer.posts.map((post: Trend) => post.post_uuid),
    ['better'],
  )
  assert.deepEqual(answer.posts, recounted(doubled, 10))
})

test('a new post has no usual: it is compared with an average one; a young post with its own days', async t => {
  const { get, count } = await startApi(t)
  const events = [
    ...usually('average', 30),
    ...usually('another', 10),
    ...viewsOf('new', `${TODAY}T08:00:00Z`, 40),
    ...viewsOf('young', '2026-11-18T23:59:59Z', 10),
    ...viewsOf('young', '2026-11-19T08:00:00Z', 30),
    ...viewsOf('young', `${TODAY}T08:00:00Z`, 60),
    // As much as on each of its own days: nothing new.
    ...viewsOf('fades', '2026-11-19T08:00:00Z', 50),
    ...viewsOf('fades', `${TODAY}T08:00:00Z`, 40),
  ]
  await countAll(count, events)
  const answer = (await get(TRENDING)).json()
  assert.deepEqual(answer.posts, recounted(events, 10))
  const usual = Object.fromEntries(answer.posts.map((post: Trend) => [post.post_uuid, post.usual_24h]))
  assert.deepEqual(usual, { new: null, young: 20 })
})

test('on a new site nothing is usual, and nothing is expected', async t => {
  const { get, count } = await startApi(t)
  await count([...viewsOf('a', `${YESTERDAY}T13:00:00Z`, 40), ...viewsOf('b', `${TODAY}T08:00:00Z`, 10)])
  const site = { usual_24h: null, site_last_24h: 50, site_usual_24h: null }
  assert.deepEqual((await get(TRENDING)).json().posts, [
    { post_uuid: 'a', score: rounded(40 / Math.sqrt(10)), last_24h: 40, ...site },
    { post_uuid: 'b', score: rounded(10 / Math.sqrt(10)), last_24h: 10, ...site },
  ])
})

test('a young site is compared with the days that it has', async t => {
  const { get, count } = await startApi(t)
  await count([
    ...viewsOf('a', '2026-11-18T08:00:00Z', 10),
    ...viewsOf('a', '2026-11-19T08:00:00Z', 20),
    ...viewsOf('a', `${TODAY}T08:00:00Z`, 90),
  ])
  const [post] = (await get(TRENDING)).json().posts
  assert.deepEqual([post.usual_24h, post.site_usual_24h], [15, 15])
})

for (const bots of ['count', 'exclude'] as const) {
  test(`compares people, bots or all, if bots are to ${bots}`, async t => {
    const { get, count } = await startApi(t, { settings: { bots } })
    const byBot = { user_agent: GPTBOT }
    const people = [
      ...usually('read', 3),
      ...usually('crawled', 3),
      ...viewsOf('read', `${TODAY}T08:00:00Z`, 12),
      ...viewsOf('crawled', `${TODAY}T08:00:00Z`, 2),
    ]
    const machines = [
      ...usually('read', 1, byBot),
      ...usually('crawled', 2, byBot),
      ...viewsOf('crawled', `${TODAY}T08:00:00Z`, 50, byBot),
    ]
    await count([...people, ...machines])
    const answer = async (who: string) => (await get(`${TRENDING}${who}`)).json().posts
    assert.deepEqual(await answer(''), recounted(people, 10))
    assert.deepEqual(await answer('?who=people'), recounted(people, 10))
    assert.deepEqual(await answer('?who=bots'), recounted(machines, 10))
    assert.deepEqual(await answer('?who=all'), recounted([...people, ...machines], 10))
    assert.deepEqual(
      (await answer('?who=all')).map((post: Trend) => [post.post_uuid, post.last_24h]),
      [['crawled', 52]],
    )
  })
}

test('takes 24 hours of a day that has 25, and 28 days by their hours', async t => {
  let now = '2026-10-25T23:30:00Z'
  const { get, count } = await startApi(t, {
    settings: { timeZone: 'Europe/Warsaw' },
    now: () => Date.parse(now),
  })
  await count([
    ...viewsOf('a', '2026-10-20T08:00:00Z', 5),
    // The first of the 25 hours, and the second.
    ...viewsOf('a', '2026-10-24T22:59:59Z', 7),
    ...viewsOf('a', '2026-10-24T23:00:00Z', 11),
    ...viewsOf('a', '2026-10-25T22:59:59Z', 13),
    // The hour that is not over.
    ...viewsOf('a', '2026-10-25T23:00:00Z', 17),
    ...viewsOf('a', '2026-10-28T08:00:00Z', 20),
  ])
  const [first] = (await get(TRENDING)).json().posts
  // From the 20th to the 24th.
  assert.deepEqual([first.last_24h, first.usual_24h], [24, 1])
  // The 28th at 09:30: from the 20th to the 26th, one day of which has 25 hours.
  now = '2026-10-28T08:30:00Z'
  assert.deepEqual((await get(TRENDING)).json().posts, [])
  now = '2026-10-28T09:30:00Z'
  const [later] = (await get(TRENDING)).json().posts
  assert.deepEqual([later.last_24h, later.usual_24h], [20, rounded((53 * 24) / (7 * 24 + 1))])
})

test('answers no posts while the hours of a day are not known, and says from when on they are', async t => {
  const { get, count, databasePath, store } = await startApi(t)
  const events = [...usually('a', 2), ...viewsOf('a', `${TODAY}T08:00:00Z`, 30)]
  await count([...events, ...viewsOf('a', `${YESTERDAY}T02:00:00Z`, 1)])
  const keptBefore = async (day: string) => {
    {
      using database = new DatabaseSync(databasePath)
      database.exec(`UPDATE post_views SET hour_of_day = NULL, viewed_at = viewed_at WHERE day = '${day}'`)
    }
    await store.rebuild({ adoptSettings: false })
  }
  // Of the days before, the hours do not matter.
  await keptBefore(USUAL.at(-1)!)
  const known = (await get(TRENDING)).json()
  assert.deepEqual([known.details_since, known.posts], [null, recounted(events, 10)])
  await keptBefore(YESTERDAY)
  const unknown = (await get(TRENDING)).json()
  assert.deepEqual([unknown.details_since, unknown.posts], [TODAY, []])
})

test('compares people with the days on which adopted data tell them, and with no others', async t => {
  const { get, count, databasePath } = await startApi(t)
  await count([
    ...usually('a', 2),
    ...usually('b', 2),
    ...viewsOf('b', '2026-11-18T08:00:00Z', 6),
    ...viewsOf('a', `${TODAY}T08:00:00Z`, 30),
  ])
  const unknownUntil = (day: string) => {
    using database = new DatabaseSync(databasePath)
    for (const table of ['post_view_aggregates', 'site_view_aggregates'])
      database.exec(
        `UPDATE ${table} SET bots = NULL, unique_views = NULL, logged_in = NULL WHERE date <= '${day}'`,
      )
    database.exec('UPDATE post_view_rebuilds SET rebuilds = rebuilds + 1')
  }
  unknownUntil('2026-11-17')
  const { details_since, posts } = (await get(TRENDING)).json()
  assert.equal(details_since, '2026-11-18')
  assert.deepEqual(
    posts.map((post: Trend) => [post.usual_24h, post.site_usual_24h]),
    [[2, 7]],
  )
  const all = (await get(`${TRENDING}?who=all`)).json()
  assert.deepEqual([all.details_since, all.posts[0].site_usual_24h], [null, rounded(4 + 6 / 28)])
  unknownUntil(addDays(YESTERDAY, -1))
  const unknown = (await get(TRENDING)).json()
  assert.deepEqual([unknown.details_since, unknown.posts], [YESTERDAY, []])
})
