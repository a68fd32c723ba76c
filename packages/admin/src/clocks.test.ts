import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clocksFrom } from './clocks.ts'

test('keeps the clocks that are in force a day before a time, and all later ones', () => {
  const [first, second, third] = [
    { from: '1970-01-01T00:00:00Z', seconds: 3_600 },
    { from: '2026-03-29T01:00:00Z', seconds: 7_200 },
    { from: '2026-10-25T01:00:00Z', seconds: 3_600 },
  ]
  const all = [first, second, third]
  assert.deepEqual(clocksFrom(all, '2026-03-30T00:59:59Z'), all)
  assert.deepEqual(clocksFrom(all, '2026-03-30T01:00:00.000Z'), [second, third])
  assert.deepEqual(clocksFrom(all, '2030-01-01T00:00:00Z'), [third])
  assert.deepEqual(clocksFrom(all, '1969-12-31T00:00:00Z'), all)
  assert.deepEqual(clocksFrom([], '2026-03-29T01:00:00Z'), [])
})
