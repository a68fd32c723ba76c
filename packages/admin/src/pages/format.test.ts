import assert from 'node:assert/strict'
import { test } from 'node:test'
import { changeOf, changeOfShare, dayRange, duration, number, percent, shareOf } from './format.ts'

const known = (value: number) => ({ value, since: null })
const UNKNOWN = { value: null, since: null }

test('writes unknown as a dash, never as 0', () => {
  assert.equal(number(null), '–')
  assert.equal(percent(null), '–')
  assert.equal(number(12_345), '12,345')
  assert.equal(percent(0), '0.0 %')
})

test('writes a little not as nothing, nor nearly all as all', () => {
  assert.deepEqual([0, 0.000_4, 0.000_5, 0.001].map(percent), ['0.0 %', '<0.1 %', '0.1 %', '0.1 %'])
  assert.deepEqual([0.999, 0.999_6, 1, 1.5].map(percent), ['99.9 %', '>99.9 %', '100.0 %', '150.0 %'])
})

test('tells a change by its direction and how much it is', () => {
  assert.deepEqual(changeOf(known(150), known(100)), { direction: 'up', text: '50.0 %' })
  assert.deepEqual(changeOf(known(75), known(100)), { direction: 'down', text: '25.0 %' })
  assert.deepEqual(changeOf(known(5), known(5)), { direction: 'same', text: '' })
  assert.deepEqual(changeOf(known(5), known(0)), { direction: 'up', text: '' })
  assert.deepEqual(changeOf(known(2_100), known(100)), { direction: 'up', text: '21-fold' })
})

test('tells no change where either is unknown, or stands for fewer days', () => {
  assert.equal(changeOf(known(1), UNKNOWN), null)
  assert.equal(changeOf(UNKNOWN, known(1)), null)
  assert.equal(changeOf({ value: 5, since: '2026-11-20' }, known(1)), null)
  assert.equal(changeOfShare(known(0.5), UNKNOWN), null)
  assert.equal(changeOfShare(known(0.5), { value: 0.4, since: '2026-11-20' }), null)
})

test('tells a change of shares in points', () => {
  assert.deepEqual(changeOfShare(known(0.311), known(0.3)), { direction: 'up', text: '1.1 pts' })
  assert.deepEqual(changeOfShare(known(0.3004), known(0.3)), { direction: 'same', text: '' })
})

test('there is no share of nothing', () => {
  assert.deepEqual(shareOf(known(1), known(3)), known(0.25))
  assert.deepEqual(shareOf({ value: 1, since: '2026-11-20' }, known(3)), { value: 0.25, since: '2026-11-20' })
  assert.deepEqual(shareOf(known(0), known(0)), UNKNOWN)
  assert.deepEqual(shareOf(known(1), UNKNOWN), UNKNOWN)
})

test('writes days and times as Analytics counts them', () => {
  assert.equal(dayRange({ from: '2026-10-23', to: '2026-11-21' }), '23 Oct – 21 Nov 2026')
  assert.equal(dayRange({ from: '2025-12-31', to: '2026-01-01' }), '31 Dec 2025 – 1 Jan 2026')
  assert.equal(dayRange({ from: '2026-11-21', to: '2026-11-21' }), '21 Nov 2026')
})

test('writes durations in the unit that fits', () => {
  assert.deepEqual([45, 150, 7_200, 86_400 * 3].map(duration), ['45 s', '3 min', '2 h', '3 days'])
})
