import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SiteBreakdown } from '@postviews/client/src/index.ts'
import { renderToString } from 'preact-render-to-string'
import { shownValues } from './breakdowns.ts'
import type { ValueRow } from './pages/model.ts'
import { readQuestion } from './pages/question.ts'
import { valuesTable } from './pages/values-section.ts'

type Told = Parameters<typeof shownValues>[0]
type Value = SiteBreakdown['values'][number]

const OWN = [
  { value: 'blog.example', views: 40, bots: 0, internal: true },
  { value: 'shop.blog.example', views: 2, bots: 0, internal: true },
] as const
const PLACES = [
  { value: 'news.example', views: 20, bots: 0 },
  { value: null, views: 10, bots: 0 },
]

function told(values: readonly Value[], rest: Partial<Told> = {}): Told {
  return {
    dimension: 'referrer',
    values: [...values],
    other: { values: 0, views: 0, bots: 0 },
    unknown: { views: 0 },
    ...rest,
  }
}

function viewsOf(rows: readonly { views: number | null }[]): number {
  return rows.reduce((total, { views }) => total + views!, 0)
}

function named(rows: readonly ValueRow[]) {
  return rows.map(({ kind, value, views }) => [value ?? kind, views])
}

test("the site's own pages are one row, below the others, with the views of all of them", () => {
  const all = [OWN[0], ...PLACES, OWN[1]]
  const shown = shownValues(told(all))
  assert.deepEqual(named(shown), [
    ['news.example', 20],
    ['none', 10],
    ['internal', 42],
  ])
  assert.equal(viewsOf(shown), viewsOf(all))
})

test('the channel of own pages is no place that readers came from, either', () => {
  const values = [
    { value: 'internal', views: 9, bots: 0 },
    { value: 'search', views: 4, bots: 0 },
  ]
  assert.deepEqual(named(shownValues(told(values, { dimension: 'channel' }))), [
    ['search', 4],
    ['internal', 9],
  ])
})

test('where nobody came from its own pages, there is no such row', () => {
  assert.deepEqual(named(shownValues(told(PLACES))), [
    ['news.example', 20],
    ['none', 10],
  ])
  assert.deepEqual(shownValues(told([])), [])
})

test('values that are not shown are one row, so that all rows add up; own pages take no place from others', () => {
  const own = Array.from({ length: 50 }, (_, n) => ({
    value: `${n}.blog.example`,
    views: 9,
    bots: 0,
    internal: true as const,
  }))
  const places = Array.from({ length: 13 }, (_, n) => ({ value: `${n}.example`, views: 3, bots: 0 }))
  const shown = shownValues(told([...own, ...places, { value: null, views: 1, bots: 0 }]))
  assert.deepEqual(named(shown), [
    ...places.slice(0, 10).map(({ value, views }) => [value, views]),
    ['none', 1],
    ['other', 9],
    ['internal', 450],
  ])
  assert.deepEqual(shown.find(({ kind }) => kind === 'other')?.values, { count: 3, isMore: false })
})

test('values that Analytics lists no more are among the others; where some were not kept, nobody knows how many', () => {
  const known = shownValues(told(PLACES, { other: { values: 7, views: 1_000, bots: 0 } }))
  assert.deepEqual(known.at(-1), {
    kind: 'other',
    value: null,
    views: 1_000,
    values: { count: 7, isMore: false },
  })
  const notKept = shownValues(told(PLACES, { other: { values: null, views: 1_000, bots: 0 } }))
  assert.deepEqual(notKept.at(-1)?.values, { count: 1, isMore: true })
})

test('views whose value is unknown are a row of their own, and unknown views are not 0', () => {
  assert.deepEqual(named(shownValues(told(PLACES, { unknown: { views: 70 } }))).at(-1), ['unknown', 70])
  assert.deepEqual(named(shownValues(told(PLACES, { unknown: { views: null } }))).at(-1), ['unknown', null])
})

test('the page names those rows in words, and measures bars by the longest', () => {
  const places = Array.from({ length: 12 }, (_, n) => ({
    value: `${10 + n}.example`,
    views: 20 - n,
    bots: 0,
  }))
  const rows = shownValues(told([...places, { value: null, views: 5, bots: 0 }, OWN[0]]))
  const page = renderToString(
    valuesTable(
      { question: readQuestion({}), path: '/' },
      { dimension: 'referrer', rows, views: viewsOf(rows), total: 14, since: null },
      40,
    ),
  )
  const shown = [...page.matchAll(/<th scope="row">(.*?)<\/th>/gs)].map(([, row]) => ({
    name: row!.replaceAll(/<[^>]*>/g, '').trim(),
    width: /width="([\d.]+)%"/.exec(row!)?.[1],
    href: /href="([^"]*)"/.exec(row!)?.[1]?.replaceAll('&amp;', '&'),
  }))
  assert.deepEqual(shown.slice(0, 2), [
    { name: '10.example', width: '50.0', href: '/?by=referrer&value=10.example#trend' },
    { name: '11.example', width: '47.5', href: '/?by=referrer&value=11.example#trend' },
  ])
  assert.deepEqual(shown.slice(10), [
    { name: 'Direct or unknown', width: '12.5', href: '/?by=referrer#trend' },
    { name: '2 other sites', width: undefined, href: undefined },
    { name: 'This site’s own pages', width: '100.0', href: undefined },
  ])
  assert.ok(!page.includes('blog.example'))
})

test('values are called as people call them', () => {
  const page = (dimension: Told['dimension'], ...values: (string | null)[]) => {
    const rows = shownValues(
      told(
        values.map(value => ({ value, views: 1, bots: 0 })),
        { dimension },
      ),
    )
    const list = { dimension, rows, views: rows.length, total: rows.length, since: null }
    const html = renderToString(valuesTable({ question: readQuestion({}), path: '/' }, list, 1))
    return [...html.matchAll(/<th scope="row">(.*?)<\/th>/gs)].map(([, row]) =>
      row!.replaceAll(/<[^>]*>/g, '').trim(),
    )
  }
  assert.deepEqual(page('country', 'PL', null), ['🇵🇱Poland', 'Unknown'])
  assert.deepEqual(page('purpose', 'ai_answer'), ['AI answers, fetched for a person'])
  assert.deepEqual(page('channel', 'ai', 'something new'), ['AI assistants', 'something new'])
  assert.deepEqual(page('bot', 'GPTBot', 'unknown'), ['GPTBot', 'Machines that no list names'])
})
