import assert from 'node:assert/strict'
import { test } from 'node:test'
import { renderToString } from 'preact-render-to-string'
import { figures } from './figures.ts'
import type { Sums, Trend } from './model.ts'

const TODAY = '2026-11-22'

function sums(views: number | null): Sums {
  const sum = { value: views, since: null }
  return { views: sum, unique_views: sum, logged_in: sum, anonymous: sum, bots: sum }
}

/** What stands beside the views of a period, and of the one before. */
function changeOf(from: string, to: string, before: number | null): string {
  const trend: Trend = {
    timezone: 'UTC',
    today: TODAY,
    period: { from, to },
    sums: sums(120),
    before: { period: { from: '2026-11-21', to: '2026-11-21' }, sums: sums(before) },
    days: [],
    daysBefore: null,
  }
  const page = renderToString(figures(trend))
  return /<dd class="change">(.*?)<\/dd>/.exec(page)![1]!.replaceAll(/<[^>]*>/g, '')
}

test('tells the change against the period before', () => {
  assert.equal(changeOf('2026-11-16', TODAY, 240), '▼ down 50.0 % from 240')
  assert.equal(changeOf('2026-11-21', '2026-11-21', 100), '▲ up 20.0 % from 100')
})

test('calls the hours of today no fall against a whole day', () => {
  assert.equal(changeOf(TODAY, TODAY, 721), 'so far; the day before had 721')
  assert.equal(changeOf(TODAY, TODAY, null), 'not comparable: the period before is unknown')
})
