import assert from 'node:assert/strict'
import { test } from 'node:test'
import { renderToString } from 'preact-render-to-string'
import type { Referrer } from './pages/model.ts'
import { referrersSection } from './pages/sections.ts'
import { ASKED_REFERRERS, shownReferrers } from './referrers.ts'

const OWN = [
  { host: 'blog.example', views: 40, internal: true },
  { host: 'shop.blog.example', views: 2, internal: true },
] as const
const PLACES = [
  { host: 'news.example', views: 20 },
  { host: null, views: 10 },
]

test("the site's own pages are one row, the last, with the views of all of them", () => {
  const told = [OWN[0], ...PLACES, OWN[1]]
  const shown = shownReferrers(told)
  assert.deepEqual(shown, [...PLACES, { host: null, views: 42, internal: true }])
  const sum = (list: readonly Referrer[]) => list.reduce((total, { views }) => total + views, 0)
  assert.equal(sum(shown), sum(told))
})

test('where nobody came from its own pages, there is no such row', () => {
  assert.deepEqual(shownReferrers(PLACES), PLACES)
  assert.deepEqual(shownReferrers([]), [])
})

test('own pages take no place from others', () => {
  const own = Array.from({ length: 50 }, (_, n) => ({
    host: `${n}.blog.example`,
    views: 9,
    internal: true as const,
  }))
  const places = Array.from({ length: ASKED_REFERRERS - 50 }, (_, n) => ({ host: `${n}.example`, views: 3 }))
  const shown = shownReferrers([...own, ...places])
  assert.deepEqual(shown, [...places.slice(0, 10), { host: null, views: 450, internal: true }])
})

test('the page names that row in words, and measures every bar by the longest', () => {
  const page = renderToString(referrersSection(shownReferrers([OWN[0], ...PLACES]), 70, '/referrers.csv'))
  const rows = [...page.matchAll(/<th scope="row">(.*?)<\/th>/gs)].map(([, row]) => ({
    name: row!.replaceAll(/<[^>]*>/g, '').trim(),
    width: /width="([\d.]+)%"/.exec(row!)?.[1],
  }))
  assert.deepEqual(rows, [
    { name: 'news.example', width: '50.0' },
    { name: 'Direct or unknown', width: '25.0' },
    { name: 'This site’s own pages', width: '100.0' },
  ])
  assert.ok(!page.includes('blog.example'))
})
