import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isDay, type Question, readQuestion, toAddress, yearBefore } from './question.ts'

function question(address: string) {
  return readQuestion(Object.fromEntries(new URL(address, 'http://panel.invalid').searchParams))
}

test('an address says everything, and the same question makes the same address', () => {
  for (const address of [
    '/',
    '/?period=today',
    '/?period=365d&compare=1',
    '/?from=2026-10-01&to=2026-10-31',
    '/?period=7d&q=slow+friend',
    '/?compare=1&page=3',
    '/posts/42?period=90d',
    '/?period=last-month&who=bots&compare=year',
    '/?period=7d&hours=1',
    '/?by=source&value=Google&sources=source&devices=os',
    '/?by=campaign',
    '/?by=campaign&value=',
    '/?sort=change&order=asc&page=2',
  ]) {
    assert.equal(toAddress(address.split('?')[0]!, question(address)), address)
  }
})

test('what an address does not say is as by default', () => {
  const byDefault: Question = {
    period: '30d',
    who: 'people',
    compare: null,
    hours: false,
    chosen: null,
    lists: {},
    sort: 'views',
    order: 'desc',
    search: '',
    page: 1,
    problem: null,
  }
  assert.deepEqual(question('/'), byDefault)
  assert.deepEqual(
    question('/?period=toString&who=valueOf&compare=yes&page=-1&by=hour&sources=os&sort=id&order=up&other=1'),
    byDefault,
  )
  assert.deepEqual(readQuestion({ period: ['7d', '90d'], page: '1e9' }), { ...byDefault, period: '7d' })
})

describe('a period of one’s own', () => {
  test('goes from one day to another, both included', () => {
    assert.deepEqual(question('/?from=2026-02-27&to=2026-03-01&period=7d').period, {
      from: '2026-02-27',
      to: '2026-03-01',
    })
  })

  for (const [query, problem] of [
    ['from=2026-02-30&to=2026-03-01', /first and a last day/],
    ['from=2026-03-01', /first and a last day/],
    ['from=2026-03-02&to=2026-03-01', /cannot be after/],
    ['from=2020-01-01&to=2026-01-01', /at most 800 days/],
  ] as const) {
    test(`is told what is wrong with ${query}`, () => {
      const { period, problem: told } = question(`/?${query}`)
      assert.equal(period, '30d')
      assert.match(told ?? '', problem)
    })
  }
})

test('a day is one that exists', () => {
  for (const day of ['2026-11-21', '2024-02-29', '1970-01-01']) assert.ok(isDay(day), day)
  for (const day of ['2026-02-29', '2026-13-01', '21.11.2026', '1969-12-31', '']) assert.ok(!isDay(day), day)
})

test('the day a year before 29 February is the 28th', () => {
  assert.equal(yearBefore('2024-02-29'), '2023-02-28')
  assert.equal(yearBefore('2025-03-01'), '2024-03-01')
})
