import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toTimestamp } from './text.ts'

test('writes a time as the server does, also around 1970 and with fractions', () => {
  const times: [unixSeconds: number, timestamp: string][] = [
    [1_773_143_999, '2026-03-10 11:59:59'],
    [1_773_144_000, '2026-03-10 12:00:00'],
    [1_773_144_061.9, '2026-03-10 12:01:01'],
    [1_709_251_199, '2024-02-29 23:59:59'],
    [0, '1970-01-01 00:00:00'],
    // A recount begins some hours before the first day that a row may have.
    [-1, '1969-12-31 23:59:59'],
    [-93_600, '1969-12-30 22:00:00'],
  ]
  for (const [unixSeconds, timestamp] of times) assert.equal(toTimestamp(unixSeconds), timestamp)
})
