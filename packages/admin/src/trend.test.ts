import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { dayOf } from '@postviews/client/src/index.ts'
import type { DayFigures } from './pages/model.ts'
import { addDays, type Question } from './pages/question.ts'
import { rangesOf as rangesOfQuestion, sparkOf, sumOf, trendOf, trendToCome } from './trend.ts'

const TODAY = '2026-11-21'
const FIRST = '2020-01-01'

function rangesOf(
  period: Question['period'],
  asked: Partial<Question> = {},
  firstDay: string | null = FIRST,
) {
  return rangesOfQuestion({ compare: null, hours: false, chosen: null, ...asked, period }, TODAY, firstDay)
}

function days(from: string, views: (number | null)[]): DayFigures[] {
  return views.map((count, index) => ({
    date: addDays(from, index),
    views: count,
    unique_views: count,
    logged_in: count,
    anonymous: count,
    bots: count,
  }))
}

describe('the days a question is about', () => {
  test('are the last so many, today included, and as many before', () => {
    assert.deepEqual(rangesOf('7d'), {
      period: { from: '2026-11-15', to: TODAY },
      before: { from: '2026-11-08', to: '2026-11-14' },
      shown: { from: '2026-11-15', to: TODAY },
      shownBefore: { from: '2026-11-08', to: '2026-11-14' },
      asked: { from: '2026-11-08', to: TODAY },
      sparks: { from: '2026-11-08', to: TODAY },
      hasChange: true,
      isByHour: false,
    })
  })

  test('are shown with some days before them where they are few', () => {
    const day = { from: '2026-11-19', to: '2026-11-20' }
    const ranges = rangesOf(day)
    assert.deepEqual(ranges.period, day)
    assert.deepEqual(ranges.before, { from: '2026-11-17', to: '2026-11-18' })
    assert.deepEqual(ranges.shown, { from: '2026-11-07', to: '2026-11-20' })
    assert.equal(ranges.asked.from, '2026-10-24')
  })

  test('are shown by the hour where they are one, or where that is asked for and Analytics gives so many', () => {
    const today = rangesOf('today')
    assert.equal(today.isByHour, true)
    assert.deepEqual(today.shown, { from: TODAY, to: TODAY })
    assert.equal(rangesOf('7d').isByHour, false)
    assert.equal(rangesOf('7d', { hours: true }).isByHour, true)
    assert.equal(rangesOf({ from: '2026-11-01', to: '2026-11-14' }, { hours: true }).isByHour, true)
    assert.equal(rangesOf({ from: '2026-11-01', to: '2026-11-15' }, { hours: true }).isByHour, false)
    const chosen = { dimension: 'source', value: 'Google' } as const
    assert.equal(rangesOf('today', { chosen }).isByHour, false, 'values are known by day')
  })

  for (const [name, from, to] of [
    ['yesterday', '2026-11-20', '2026-11-20'],
    ['month', '2026-11-01', TODAY],
    ['last-month', '2026-10-01', '2026-10-31'],
    ['year', '2026-01-01', TODAY],
    ['all', FIRST, TODAY],
  ] as const) {
    test(`are those of ${name}`, () => assert.deepEqual(rangesOf(name).period, { from, to }))
  }

  test('are compared with the same days of the year before when that is asked for', () => {
    const { before, asked } = rangesOf('7d', { compare: 'year' })
    assert.deepEqual(before, { from: '2025-11-15', to: '2025-11-21' })
    assert.equal(asked.from, '2025-11-15')
    const leap = rangesOf({ from: '2024-02-28', to: '2024-02-29' }, { compare: 'year' })
    assert.deepEqual(leap.before, { from: '2023-02-27', to: '2023-02-28' })
  })

  test('tell no change of a post where not all days before were counted', () => {
    assert.equal(rangesOf('7d', {}, '2026-11-08').hasChange, true)
    assert.equal(rangesOf('7d', {}, '2026-11-09').hasChange, false)
    assert.equal(rangesOf('7d', {}, null).hasChange, false)
    assert.equal(rangesOf('all').hasChange, false)
  })

  test('end today: days to come are not days without views', () => {
    const { period, before } = rangesOf({ from: '2026-11-20', to: '2026-12-31' })
    assert.deepEqual(period, { from: '2026-11-20', to: TODAY })
    assert.deepEqual(before, { from: '2026-11-18', to: '2026-11-19' })
  })

  test('are not compared where Analytics does not tell so many days at once', () => {
    assert.notEqual(rangesOf({ from: '2025-10-18', to: TODAY }).before, null)
    const ranges = rangesOf({ from: '2025-10-17', to: TODAY })
    assert.equal(ranges.before, null)
    assert.deepEqual(ranges.asked, ranges.period)
    assert.equal(rangesOf({ from: '1970-01-02', to: '1970-02-02' }).before, null)
  })
})

describe('a sum', () => {
  test('is that of all days', () => {
    assert.deepEqual(sumOf(days(TODAY, [1, 0, 2]), 'unique_views'), { value: 3, since: null })
  })

  test('is unknown, not 0, where no day is known', () => {
    assert.deepEqual(sumOf(days(TODAY, [null, null]), 'bots'), { value: null, since: null })
  })

  test('says from which day on it is known', () => {
    const some = days('2026-11-18', [5, null, 2, 3])
    assert.deepEqual(sumOf(some, 'unique_views'), { value: 5, since: '2026-11-20' })
    assert.deepEqual(sumOf(days('2026-11-18', [5, null]), 'unique_views'), { value: null, since: null })
  })
})

test('sums the period and the one before, and shows the days of both side by side when asked', () => {
  const asked = days('2026-11-08', [1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2])
  const place = { timezone: 'UTC', today: TODAY, firstDay: '2026-01-01' }
  const trend = trendOf(asked, rangesOf('7d'), place, true)
  assert.equal(trend.sums.views.value, 14)
  assert.equal(trend.before?.sums.views.value, 6, 'without the day that would stand beside today')
  assert.deepEqual(
    trend.days.map(({ views }, index) => [views, trend.daysBefore?.[index]?.views]),
    Array.from({ length: 7 }, () => [2, 1]),
  )
  assert.equal(trendOf(asked, rangesOf('7d'), place, false).daysBefore, null)
})

describe('a comparison', () => {
  const place = { timezone: 'UTC', today: TODAY, firstDay: '2026-01-01' }
  const views = days('2026-11-08', [1, 1, 1, 1, 1, 1, 90, 2, 2, 2, 2, 2, 2, 5])

  function compared(period: Question['period'], firstDay: string | null = place.firstDay) {
    return trendOf(views, rangesOf(period), { ...place, firstDay }, false).before!
  }

  test('leaves out today, which is not over, and the day that would stand beside it', () => {
    const { period, sums, over, isWithoutToday } = compared('7d')
    assert.deepEqual(period, { from: '2026-11-08', to: '2026-11-13' })
    assert.deepEqual([over?.views.value, sums.views.value, isWithoutToday], [12, 6, true])
  })

  test('is of whole periods where they are over', () => {
    const { period, sums, over, isWithoutToday } = compared({ from: '2026-11-15', to: '2026-11-20' })
    assert.deepEqual(period, { from: '2026-11-09', to: '2026-11-14' })
    assert.deepEqual([over?.views.value, sums.views.value, isWithoutToday], [12, 95, false])
  })

  test('has nothing to compare of today alone, and tells the day before', () => {
    const { period, sums, over } = compared('today')
    assert.deepEqual(period, { from: '2026-11-20', to: '2026-11-20' })
    assert.deepEqual([over, sums.views.value], [null, 2])
  })

  test('says since when views are counted, where that is not the whole period before', () => {
    assert.equal(compared('7d').countedSince, null)
    assert.equal(compared('7d', '2026-11-08').countedSince, null)
    assert.equal(compared('7d', null).countedSince, null, 'days with views are known, whatever times are not')
    const young = trendOf(
      days('2026-11-08', [0, 0, 0, 0, 0, 1, 90, 2, 2, 2, 2, 2, 2, 5]),
      rangesOf('7d'),
      { ...place, firstDay: '2026-11-13' },
      false,
    )
    assert.equal(young.before?.countedSince, '2026-11-13')
  })
})

test('of a period that is still to come nothing is known', () => {
  const ranges = rangesOf({ from: '2026-12-01', to: '2026-12-05' })
  const trend = trendToCome(ranges, { timezone: 'UTC', today: TODAY, firstDay: null }, 'people')
  assert.deepEqual(trend.sums.views, { value: null, since: null })
  assert.deepEqual([trend.days, trend.before], [[], null])
})

test('the day of a time is that of the clocks that days are counted by', () => {
  const offsets = [
    { from: '1970-01-01T00:00:00Z', seconds: 0 },
    { from: '2026-10-25T01:00:00Z', seconds: 3_600 },
  ]
  assert.equal(dayOf('2026-11-20T23:30:00Z', offsets), '2026-11-21')
  assert.equal(dayOf('2026-10-20T23:30:00Z', offsets), '2026-10-20')
})

describe('a sparkline', () => {
  test('has today in it, so far: a post of today is not flat', () => {
    assert.deepEqual(sparkOf(days('2026-11-18', [3, 4, 5, 1]), TODAY), {
      points: [3, 4, 5, 1],
      isUnfinished: true,
    })
    assert.deepEqual(sparkOf(days('2026-11-19', [0, 0, 7]), TODAY).points, [0, 0, 7])
    assert.equal(sparkOf(days('2026-11-17', [3, 4]), TODAY).isUnfinished, false)
    assert.deepEqual(sparkOf([], TODAY), { points: [], isUnfinished: false })
    assert.deepEqual(sparkOf(days('2026-11-18', [3, null]), TODAY).points, [3, null], 'unknown is not 0')
  })

  test('adds many days up to few points of as many days each', () => {
    const year = days(addDays(TODAY, -364), Array(365).fill(1))
    const { points, isUnfinished } = sparkOf(year, TODAY)
    assert.equal(points.length, 52)
    assert.deepEqual([new Set(points), isUnfinished], [new Set([7]), true])
  })
})
