import assert from 'node:assert/strict'
import { test } from 'node:test'
import { renderToString } from 'preact-render-to-string'
import { figures } from './figures.ts'
import type { Comparison, Sum, Sums, Trend } from './model.ts'

const TODAY = '2026-11-22'
const YESTERDAY = '2026-11-21'
const NAMES = ['Views', 'Unique views', 'Logged-in share', 'Machines']
const BY_DAY = { days: [], daysBefore: null, hours: null, hoursBefore: null, chosen: null, published: [] }

function known(value: number | null, since: string | null = null): Sum {
  return { value, since }
}

function sums(views: Sum, anonymous = views): Sums {
  return { views, unique_views: views, logged_in: views, anonymous, bots: views }
}

interface Case extends Partial<Omit<Comparison, 'sums' | 'over'>> {
  now?: Sum | null
  was: Sum
}

/** What stands in the page for each number: its value, and how it changed. */
function shown({ now = known(120), was, ...rest }: Case, period = { from: '2026-11-15', to: YESTERDAY }) {
  const trend: Trend = {
    timezone: 'UTC',
    today: TODAY,
    period,
    sums: sums(known(130)),
    before: {
      period: { from: '2026-11-08', to: '2026-11-14' },
      sums: sums(was),
      over: now && sums(now),
      isWithoutToday: false,
      countedSince: null,
      ...rest,
    },
    rest: {
      who: 'bots',
      isPart: false,
      sum: known(10),
      before: { sums: sums(was), over: now && sums(now) },
    },
    ...BY_DAY,
  }
  const page = renderToString(figures(trend))
  const changes = [...page.matchAll(/<dd class="change">(.*?)<\/dd>/g)].map(([, text]) => text!)
  return { page, changes, texts: changes.map(text => text.replaceAll(/<[^>]*>/g, '')) }
}

test('tells the change against the period before', () => {
  assert.equal(shown({ was: known(240) }).texts[0], '▼ down 50.0 % from 240')
  assert.equal(shown({ was: known(100) }).texts[0], '▲ up 20.0 % from 100')
  assert.equal(shown({ was: known(120) }).texts[0], 'no change')
})

test('compares without today, which is not over, and says so with the numbers that are compared', () => {
  const isWithoutToday = true
  assert.equal(
    shown({ isWithoutToday, was: known(100) }).texts[0],
    '▲ up 20.0 % without today, from 100 to 120',
  )
  assert.equal(shown({ isWithoutToday, was: known(120) }).texts[0], 'no change without today')
})

test('calls the hours of today no fall against a whole day', () => {
  const today = { from: TODAY, to: TODAY }
  assert.deepEqual(shown({ now: null, was: known(721) }, today).texts, [
    'so far; the day before had 721',
    'so far; the day before had 721',
    'so far; the day before had 50.0 %',
    'so far; the day before had 721',
  ])
  assert.equal(
    shown({ now: null, was: known(null) }, today).texts[0],
    'not comparable: the day before is unknown',
  )
})

test('compares with nothing that nobody counted, or that is known in part', () => {
  assert.deepEqual(shown({ was: known(264), countedSince: '2026-11-13' }).texts, [])
  assert.equal(shown({ was: known(null) }).texts[0], 'not comparable: the previous period is unknown')
  assert.equal(
    shown({ was: known(5, '2026-11-10') }).texts[0],
    'not comparable: the previous period had 5 since 10 Nov 2026; earlier is unknown',
  )
})

test('has no arrow from nothing', () => {
  assert.equal(shown({ was: known(0) }).texts[0], 'none in the previous period')
})

test('tells in words how many times as much it is', () => {
  assert.equal(shown({ now: known(80_256), was: known(264) }).texts[0], '▲ up 304-fold from 264')
})

test('colours a rise where more is better: of machines it is not', () => {
  const { changes } = shown({ was: known(100) })
  const good = NAMES.filter((_, index) => /class="up good"/.test(changes[index]!))
  assert.deepEqual(good, ['Views', 'Unique views'])
})

test('tells how large a part of all views is by machines, whoever is shown', () => {
  const share = (isPart: boolean) =>
    renderToString(
      figures({
        timezone: 'UTC',
        today: TODAY,
        period: { from: YESTERDAY, to: YESTERDAY },
        sums: sums(known(30)),
        before: null,
        rest: { who: 'bots', isPart, sum: known(10), before: null },
        ...BY_DAY,
      }),
    )
  assert.match(share(false), /: 25.0 % of all views/)
  assert.match(share(true), /: 33.3 % of all views/)
})

test('shows no 0 for days that are still to come', () => {
  const unknown = known(null)
  const page = renderToString(
    figures({
      timezone: 'UTC',
      today: TODAY,
      period: { from: '2026-12-01', to: '2026-12-07' },
      sums: sums(unknown),
      before: null,
      rest: { who: 'bots', isPart: false, sum: unknown, before: null },
      ...BY_DAY,
    }),
  )
  assert.equal([...page.matchAll(/These days are still to come/g)].length, 4)
  assert.equal([...page.matchAll(/<dd class="value"><span title="Unknown">/g)].length, 4)
})
