import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { DayFigures } from './pages/model.ts'
import { addDays } from './pages/question.ts'
import { rangesOf, sparkOf, sumOf, trendOf } from './trend.ts'

const TODAY = '2026-11-21'

function days(from: string, views: (number | null)[]): DayFigures[] {
  return views.map((count, index) => ({
    date: addDays(from, index),
    views: count ?? 0,
    unique_views: count,
    logged_in: count,
    anonymous: count,
    bots: count,
  }))
}

describe('the days a question is about', () => {
  test('are the last so many, today included, and as many before', () => {
    assert.deepEqual(rangesOf('7d', TODAY), {
      period: { from: '2026-11-15', to: TODAY },
      before: { from: '2026-11-08', to: '2026-11-14' },
      shown: { from: '2026-11-15', to: TODAY },
      shownBefore: { from: '2026-11-08', to: '2026-11-14' },
      asked: { from: '2026-11-08', to: TODAY },
    })
  })

  test('are shown with some days before them where they are few', () => {
    const ranges = rangesOf('today', TODAY)
    assert.deepEqual(ranges.period, { from: TODAY, to: TODAY })
    assert.deepEqual(ranges.before, { from: '2026-11-20', to: '2026-11-20' })
    assert.deepEqual(ranges.shown, { from: '2026-11-08', to: TODAY })
    assert.equal(ranges.asked.from, '2026-10-25')
  })

  test('end today: days to come are not days without views', () => {
    const { period, before } = rangesOf({ from: '2026-11-20', to: '2026-12-31' }, TODAY)
    assert.deepEqual(period, { from: '2026-11-20', to: TODAY })
    assert.deepEqual(before, { from: '2026-11-18', to: '2026-11-19' })
  })

  test('are not compared where Analytics does not tell so many days at once', () => {
    assert.notEqual(rangesOf({ from: '2025-10-18', to: TODAY }, TODAY).before, null)
    const ranges = rangesOf({ from: '2025-10-17', to: TODAY }, TODAY)
    assert.equal(ranges.before, null)
    assert.deepEqual(ranges.asked, ranges.period)
    assert.equal(rangesOf({ from: '1970-01-02', to: '1970-02-02' }, TODAY).before, null)
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
  const place = { timezone: 'UTC', today: TODAY }
  const trend = trendOf(asked, rangesOf('7d', TODAY), place, true)
  assert.equal(trend.sums.views.value, 14)
  assert.equal(trend.before?.sums.views.value, 7)
  assert.deepEqual(
    trend.days.map(({ views }, index) => [views, trend.daysBefore?.[index]?.views]),
    Array.from({ length: 7 }, () => [2, 1]),
  )
  assert.equal(trendOf(asked, rangesOf('7d', TODAY), place, false).daysBefore, null)
})

describe('a sparkline', () => {
  test('leaves today out, which is not over', () => {
    assert.deepEqual(sparkOf(days('2026-11-18', [3, 4, 5, 1]), TODAY), [3, 4, 5])
    assert.deepEqual(sparkOf([], TODAY), [])
  })

  test('adds many days up to few points of as many days each', () => {
    const year = days(addDays(TODAY, -365), [...Array(365).fill(1), 9])
    const spark = sparkOf(year, TODAY)
    assert.equal(spark.length, 52)
    assert.deepEqual(new Set(spark), new Set([7]))
  })
})
