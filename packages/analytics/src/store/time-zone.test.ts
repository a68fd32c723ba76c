import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSameTimeZone } from './time-zone.ts'

test('a time zone is the same by each of its names', () => {
  for (const [one, other] of [
    ['Europe/Warsaw', 'europe/warsaw'],
    ['Asia/Kolkata', 'Asia/Calcutta'],
    ['Europe/Kyiv', 'europe/kiev'],
    ['UTC', 'Etc/UTC'],
    ['Mars/Olympus', 'Mars/Olympus'],
  ] as const)
    assert.ok(isSameTimeZone(one, other), `${one}, ${other}`)
  // The clocks of the first two agree today, and did not always.
  for (const [one, other] of [
    ['Europe/Warsaw', 'Europe/Berlin'],
    ['UTC', 'Europe/London'],
    ['Mars/Olympus', 'Mars/Tharsis'],
    ['Mars/Olympus', 'UTC'],
  ] as const)
    assert.ok(!isSameTimeZone(one, other), `${one}, ${other}`)
})
