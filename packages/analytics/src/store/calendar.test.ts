import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Calendar } from './calendar.ts'
import { addDays, daysBetween, daysFrom, isDay, latest } from './days.ts'

const HOUR = 3_600

function unix(time: string): number {
  return Date.parse(time) / 1_000
}

function hoursOf(timeZone: string, day: string): number {
  const { start, end } = new Calendar(timeZone, 24).bounds(day)
  return (end - start) / HOUR
}

test("a moment belongs to its zone's day, not to the day in UTC", () => {
  const moment = unix('2026-03-10T23:30:00Z')
  assert.equal(new Calendar('UTC', 24).dayOf(moment), '2026-03-10')
  assert.equal(new Calendar('Europe/Warsaw', 24).dayOf(moment), '2026-03-11')
  assert.equal(new Calendar('Asia/Kathmandu', 24).dayOf(moment), '2026-03-11')
  assert.equal(new Calendar('America/Los_Angeles', 24).dayOf(moment), '2026-03-10')
})

test('a day begins with its first second and ends before the next', () => {
  const calendar = new Calendar('Europe/Warsaw', 24)
  const { start, end } = calendar.bounds('2026-03-10')
  assert.deepEqual([start, end], [unix('2026-03-09T23:00:00Z'), unix('2026-03-10T23:00:00Z')])
  assert.equal(calendar.dayOf(start), '2026-03-10')
  assert.equal(calendar.dayOf(start - 1), '2026-03-09')
  assert.equal(calendar.dayOf(end - 1), '2026-03-10')
  assert.equal(calendar.dayOf(end), '2026-03-11')
})

test('a day has 23 or 25 hours where the clocks change', () => {
  assert.equal(hoursOf('Europe/Warsaw', '2026-03-29'), 23)
  assert.equal(hoursOf('Europe/Warsaw', '2026-10-25'), 25)
  assert.equal(hoursOf('Australia/Lord_Howe', '2026-10-04'), 23.5)
  assert.equal(hoursOf('Europe/Warsaw', '2026-10-26'), 24)
})

test('a day without a midnight begins at its first instant', () => {
  const firstInstants: [timeZone: string, day: string, start: string][] = [
    ['America/Sao_Paulo', '2018-11-04', '2018-11-04T03:00:00Z'],
    ['Asia/Beirut', '2026-03-29', '2026-03-28T22:00:00Z'],
    ['Africa/Cairo', '2026-04-24', '2026-04-23T22:00:00Z'],
  ]
  for (const [timeZone, day, start] of firstInstants) {
    const calendar = new Calendar(timeZone, 1)
    assert.equal(calendar.bounds(day).start, unix(start), timeZone)
    assert.deepEqual(calendar.locate(unix(start)), { day, slice: 0, hour: 0 }, timeZone)
    assert.deepEqual(
      calendar.locate(unix(start) - 1),
      { day: addDays(day, -1), slice: 23, hour: 23 },
      timeZone,
    )
    assert.equal(hoursOf(timeZone, day), 23, timeZone)
  }
})

test('a day whose midnight comes twice begins with the first', () => {
  const { start } = new Calendar('America/Havana', 24).bounds('2025-11-02')
  assert.equal(start, unix('2025-11-02T04:00:00Z'))
  assert.equal(hoursOf('America/Havana', '2025-11-02'), 25)
})

test('a day that never was has no moments', () => {
  const { start, end } = new Calendar('Pacific/Apia', 24).bounds('2011-12-30')
  assert.equal(start, end)
  assert.equal(new Calendar('Pacific/Apia', 24).dayOf(start), '2011-12-31')
})

test('a moment has one day, whichever moments were asked for before', () => {
  // One minute after midnight these clocks went back an hour, to the evening before.
  const times = [
    '2008-11-02T02:15:00Z',
    '2008-11-02T02:30:30Z',
    '2008-11-02T03:00:00Z',
    '2008-11-02T04:00:00Z',
  ]
  const calendar = new Calendar('America/St_Johns', 1)
  for (const time of times.toReversed()) calendar.locate(unix(time))
  for (const time of times) {
    const alone = new Calendar('America/St_Johns', 1).locate(unix(time))
    assert.deepEqual(calendar.locate(unix(time)), alone, time)
  }
})

test('a moment has the same day after many other days were asked for', () => {
  const calendar = new Calendar('Europe/Warsaw', 6)
  for (let day = 0; day < 200; day++) {
    const { start, end } = calendar.bounds(addDays('2026-01-01', day))
    assert.deepEqual(calendar.locate(start), { day: addDays('2026-01-01', day), slice: 0, hour: 0 })
    assert.deepEqual(calendar.locate(end - 1).day, addDays('2026-01-01', day))
  }
})

test('windows are hours from the first instant of the day', () => {
  const start = unix('2026-03-10T00:00:00Z')
  for (const hours of [1, 2, 3, 4, 6, 8, 12]) {
    const calendar = new Calendar('UTC', hours)
    assert.equal(calendar.locate(start).slice, 0)
    assert.equal(calendar.locate(start + hours * HOUR - 1).slice, 0)
    assert.equal(calendar.locate(start + hours * HOUR).slice, 1)
    assert.equal(calendar.locate(start + 24 * HOUR - 1).slice, 24 / hours - 1)
  }
})

test('a window of 24 hours is the day, however long that is', () => {
  const calendar = new Calendar('Europe/Warsaw', 24)
  for (const day of ['2026-03-29', '2026-10-25']) {
    const { start, end } = calendar.bounds(day)
    assert.deepEqual(calendar.locate(start), { day, slice: 0, hour: 0 })
    assert.deepEqual(calendar.locate(end - 1), { day, slice: 0, hour: (end - start) / HOUR - 1 })
  }
})

test('the last window ends with the day', () => {
  const calendar = new Calendar('Europe/Warsaw', 12)
  const long = calendar.bounds('2026-10-25')
  assert.deepEqual(calendar.locate(long.start + 24 * HOUR), { day: '2026-10-25', slice: 2, hour: 24 })
  assert.deepEqual(calendar.locate(long.end), { day: '2026-10-26', slice: 0, hour: 0 })
  const short = calendar.bounds('2026-03-29')
  assert.deepEqual(calendar.locate(short.end - 1), { day: '2026-03-29', slice: 1, hour: 22 })
  assert.deepEqual(calendar.locate(short.end), { day: '2026-03-30', slice: 0, hour: 0 })
})

test('days are added, counted and listed across months and leap days', () => {
  assert.equal(addDays('2028-02-28', 1), '2028-02-29')
  assert.equal(addDays('2026-01-01', -1), '2025-12-31')
  assert.equal(daysBetween('2027-12-31', '2028-03-01'), 61)
  assert.equal(daysBetween('2026-03-10', '2026-03-10'), 0)
  assert.equal(daysBetween('2026-03-10', '2026-03-09'), -1)
  assert.deepEqual(daysFrom('2026-02-27', '2026-03-01'), ['2026-02-27', '2026-02-28', '2026-03-01'])
  assert.deepEqual(daysFrom('2026-03-01', '2026-02-27'), [])
})

test('the later of two days is told, null being the beginning of time', () => {
  assert.equal(latest('2026-03-10', '2026-03-09'), '2026-03-10')
  assert.equal(latest('2026-03-09', '2026-03-10'), '2026-03-10')
  assert.equal(latest(null, '2026-03-10'), '2026-03-10')
  assert.equal(latest('2026-03-10', null), '2026-03-10')
  assert.equal(latest(null, null), null)
})

test('only a day that exists, written YYYY-MM-DD, is a day', () => {
  for (const text of ['2026-03-10', '2028-02-29']) assert.ok(isDay(text), text)
  const others = [
    '2026-02-29',
    '2026-13-01',
    '2026-00-10',
    '2026-3-10',
    '20260310',
    '2026-03-10T00:00',
    '',
    'x',
  ]
  for (const text of others) assert.ok(!isDay(text), text)
})
