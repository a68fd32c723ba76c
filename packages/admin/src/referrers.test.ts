import assert from 'node:assert/strict'
import { test } from 'node:test'
import { renderToString } from 'preact-render-to-string'
import type { ReferrerRow, Sums } from './pages/model.ts'
import { referrersSection } from './pages/sections.ts'
import { shownReferrers } from './referrers.ts'
import { trendOf } from './trend.ts'

const OWN = [
  { host: 'blog.example', views: 40, internal: true },
  { host: 'shop.blog.example', views: 2, internal: true },
] as const
const PLACES = [
  { host: 'news.example', views: 20 },
  { host: null, views: 10 },
]
const NONE = { views: 0 }
const DAY = '2026-11-21'

/** Sums of a period for which everything is known, or only the views. */
function sums(views: number, isKnown = true): Sums {
  const sum = { value: views, since: null }
  const rest = isKnown ? sum : { value: null, since: null }
  return { views: sum, unique_views: rest, logged_in: rest, anonymous: rest, bots: rest }
}

function viewsOf(rows: readonly { views: number }[]): number {
  return rows.reduce((total, { views }) => total + views, 0)
}

function named(rows: readonly ReferrerRow[]) {
  return rows.map(({ kind, host, views }) => [host ?? kind, views])
}

test("the site's own pages are one row, the last, with the views of all of them", () => {
  const told = [OWN[0], ...PLACES, OWN[1]]
  const shown = shownReferrers({ referrers: told, other: NONE }, sums(72))
  assert.deepEqual(named(shown), [
    ['news.example', 20],
    ['direct', 10],
    ['internal', 42],
  ])
  assert.equal(viewsOf(shown), viewsOf(told))
})

test('where nobody came from its own pages, there is no such row', () => {
  assert.deepEqual(named(shownReferrers({ referrers: PLACES, other: NONE }, sums(30))), [
    ['news.example', 20],
    ['direct', 10],
  ])
  assert.deepEqual(shownReferrers({ referrers: [], other: NONE }, sums(0)), [])
})

test('hosts that are not shown are one row, so that all rows add up; own pages take no place from others', () => {
  const own = Array.from({ length: 50 }, (_, n) => ({
    host: `${n}.blog.example`,
    views: 9,
    internal: true as const,
  }))
  const places = Array.from({ length: 13 }, (_, n) => ({ host: `${n}.example`, views: 3 }))
  const direct = { host: null, views: 1 }
  const shown = shownReferrers({ referrers: [...own, ...places, direct], other: NONE }, sums(490))
  assert.deepEqual(named(shown), [
    ...places.slice(0, 10).map(({ host, views }) => [host, views]),
    ['direct', 1],
    ['other', 9],
    ['internal', 450],
  ])
  assert.deepEqual(shown.find(({ kind }) => kind === 'other')?.hosts, { count: 3, isMore: false })
})

test('hosts that Analytics lists no more are among the others, and nobody knows how many they are', () => {
  const shown = shownReferrers({ referrers: PLACES, other: { views: 1_000 } }, sums(1_030))
  assert.deepEqual(shown.at(-1), {
    kind: 'other',
    host: null,
    views: 1_000,
    hosts: { count: 1, isMore: true },
  })
})

test('views of which nobody knows more than their number are a row of their own', () => {
  const told = { referrers: PLACES, other: NONE }
  assert.deepEqual(named(shownReferrers(told, sums(100, false))).at(-1), ['unknown', 70])
  // If everything is known, the difference was viewed between the two answers.
  assert.equal(viewsOf(shownReferrers(told, sums(31))), 30)
})

test('the page names those rows in words, and measures bars by the longest', () => {
  const places = Array.from({ length: 12 }, (_, n) => ({ host: `${10 + n}.example`, views: 20 - n }))
  const referrers = [...places, { host: null, views: 5 }, OWN[0]]
  const day = { date: DAY, views: 219, unique_views: 1, logged_in: 0, anonymous: 219, bots: 0 }
  const range = { from: DAY, to: DAY }
  const trend = trendOf(
    [day],
    { period: range, before: null, shown: range, shownBefore: null, asked: range },
    { timezone: 'UTC', today: DAY, firstDay: DAY },
    false,
  )
  const page = renderToString(
    referrersSection(shownReferrers({ referrers, other: NONE }, trend.sums), trend, '/referrers.csv'),
  )
  const rows = [...page.matchAll(/<th scope="row">(.*?)<\/th>/gs)].map(([, row]) => ({
    name: row!.replaceAll(/<[^>]*>/g, '').trim(),
    width: /width="([\d.]+)%"/.exec(row!)?.[1],
  }))
  assert.deepEqual(rows.slice(0, 2), [
    { name: '10.example', width: '50.0' },
    { name: '11.example', width: '47.5' },
  ])
  assert.deepEqual(rows.slice(10), [
    { name: 'Direct or unknown', width: '12.5' },
    { name: '2 other hosts', width: undefined },
    { name: 'This site’s own pages', width: '100.0' },
  ])
  assert.ok(!page.includes('blog.example'))
})
