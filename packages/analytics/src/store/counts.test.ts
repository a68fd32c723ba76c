import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CountedBy } from './bots-before.ts'
import { BatchCounts, latestViewedAt } from './counts.ts'
import { eachDetail } from './figures.ts'
import { KEPT_NAMES, type KeptRow } from './kept.ts'

const COUNT: CountedBy = { settings: { bots: 'count' }, botsBefore: [] }
const EXCLUDE: CountedBy = { settings: { bots: 'exclude' }, botsBefore: [] }
const NONE = eachDetail(() => 0)
const BLANK = Object.fromEntries(KEPT_NAMES.map(name => [name, null])) as unknown as KeptRow

function row(fields: Partial<KeptRow> = {}): KeptRow {
  return {
    ...BLANK,
    postUuid: 'a',
    viewedAt: 1_000,
    receivedAt: 1_001,
    day: '2026-03-10',
    slice: 0,
    loggedIn: false,
    bot: false,
    visitor: '00'.repeat(16),
    refererHost: '',
    ...fields,
  }
}

test("sums up a post's day", () => {
  const counts = new BatchCounts(COUNT)
  counts.add(row({ viewedAt: 1_030, loggedIn: true }))
  counts.add(row({ viewedAt: 1_010, bot: true, loggedIn: true }))
  counts.add(row({ viewedAt: 1_020 }))
  counts.addUnique('a', '2026-03-10', { unique_views: 2, bot_unique_views: 1, shared_unique_views: 1 })
  const unique = { unique_views: 2, bot_unique_views: 1, shared_unique_views: 1 }
  const day = { views: 3, ...unique, logged_in: 2, bots: 1, bot_logged_in: 1, first: 1_010, last: 1_030 }
  assert.deepEqual(counts.postDays(), [{ postUuid: 'a', day: '2026-03-10', ...day }])
  assert.deepEqual(counts.posts(), [{ postUuid: 'a', detailedViews: 3, ...day }])
  assert.deepEqual(counts.siteDays(), [{ day: '2026-03-10', ...day }])
  assert.equal(counts.rows, 3)
})

test('sums posts over days, and the site over posts', () => {
  const counts = new BatchCounts(COUNT)
  counts.add(row({ postUuid: 'b', day: '2026-03-11', viewedAt: 4_000, refererHost: 'x.org' }))
  counts.add(row({ postUuid: 'b', viewedAt: 3_000 }))
  counts.add(row({ postUuid: 'a', viewedAt: 2_000, refererHost: 'x.org' }))
  counts.add(row({ postUuid: 'a', viewedAt: 1_000, refererHost: 'x.org' }))
  assert.deepEqual(counts.posts(), [
    { postUuid: 'a', views: 2, detailedViews: 2, first: 1_000, last: 2_000, ...NONE },
    { postUuid: 'b', views: 2, detailedViews: 2, first: 3_000, last: 4_000, ...NONE },
  ])
  assert.deepEqual(counts.siteDays(), [
    { day: '2026-03-10', views: 3, first: 1_000, last: 3_000, ...NONE },
    { day: '2026-03-11', views: 1, first: 4_000, last: 4_000, ...NONE },
  ])
  assert.deepEqual(counts.minutes(), [
    { minute: 960, views: 1 },
    { minute: 1_980, views: 1 },
    { minute: 3_000, views: 1 },
    { minute: 3_960, views: 1 },
  ])
})

test('lists come sorted by key, whatever the order of the rows', () => {
  const counts = new BatchCounts(COUNT)
  const posts = ['b', 'a-1', 'a', 'Ab1', 'aB1', '10', '9']
  for (const postUuid of posts) {
    for (const day of ['2026-03-11', '2026-03-10']) counts.add(row({ postUuid, day }))
  }
  const sorted = posts.toSorted()
  assert.deepEqual(
    counts.posts().map(({ postUuid }) => postUuid),
    sorted,
  )
  assert.deepEqual(
    counts.postDays().map(({ postUuid, day }) => `${day} ${postUuid}`),
    ['2026-03-10', '2026-03-11'].flatMap(day => sorted.map(post => `${day} ${post}`)),
  )
})

test('keeps bots that are excluded out of every number but their own', () => {
  const counts = new BatchCounts(EXCLUDE)
  const bot = row({ bot: true, loggedIn: true, refererHost: 'x.org' })
  assert.equal(counts.counts(bot), false)
  assert.equal(counts.counts(row()), true)
  counts.add(bot)
  const nothing = { ...NONE, views: 0, bot_logged_in: 1, first: null, last: null }
  assert.deepEqual(counts.postDays(), [{ postUuid: 'a', day: '2026-03-10', ...nothing, bots: 1 }])
  assert.deepEqual(counts.posts(), [{ postUuid: 'a', detailedViews: 0, ...nothing, bots: 1 }])
  assert.deepEqual(counts.siteDays(), [{ day: '2026-03-10', ...nothing, bots: 1 }])
  assert.deepEqual(counts.minutes(), [])
  assert.equal(counts.rows, 1)
})

test('of a day that adopted rows leave unknown, the total takes the views and their times alone', () => {
  const counts = new BatchCounts(COUNT)
  counts.add(row({ day: '2026-03-09', viewedAt: 500, loggedIn: true, bot: true }))
  counts.add(row({ day: '2026-03-10', viewedAt: 1_000 }))
  assert.deepEqual(
    counts.posts(({ day }) => day > '2026-03-09'),
    [
      {
        postUuid: 'a',
        views: 2,
        detailedViews: 1,
        ...NONE,
        first: 500,
        last: 1_000,
      },
    ],
  )
})

test("a post's total says where no day of it is known", () => {
  const counts = new BatchCounts(COUNT)
  counts.add(row({ loggedIn: true }))
  const unknown = { detailedViews: null, ...NONE }
  assert.deepEqual(
    counts.posts(() => false),
    [{ postUuid: 'a', views: 1, ...unknown, first: 1_000, last: 1_000 }],
  )
})

test('takes unique views that are told afterwards', () => {
  const counts = new BatchCounts(COUNT)
  counts.add(row())
  counts.add(row({ day: '2026-03-11' }))
  counts.addUnique('a', '2026-03-11', { unique_views: 1, bot_unique_views: 0, shared_unique_views: 0 })
  assert.deepEqual(
    counts.postDays().map(({ unique_views }) => unique_views),
    [0, 1],
  )
})

test('an empty batch adds nothing', () => {
  const counts = new BatchCounts(COUNT)
  assert.equal(counts.rows, 0)
  const lists = [counts.postDays(), counts.posts(), counts.siteDays(), counts.minutes()]
  assert.deepEqual(lists, [[], [], [], []])
})

test('tells the latest of the views in a batch', () => {
  assert.equal(latestViewedAt([row({ viewedAt: 5 }), row({ viewedAt: 9 }), row({ viewedAt: 7 })]), 9)
})
