import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shortMinute, UTC, zoneDay, zoneMinute, zoneTime } from './zone-time.ts'

const WARSAW = {
  timezone: 'Europe/Warsaw',
  offsets: [
    { from: '2026-03-29T01:00:00Z', seconds: 7_200 },
    { from: '2026-10-25T01:00:00Z', seconds: 3_600 },
  ],
}

test('writes day and time by the clocks it is given, with the name of the zone', () => {
  const time = '2026-11-21T23:30:05Z'
  assert.equal(zoneDay(time, WARSAW), '22 Nov 2026')
  assert.equal(zoneTime(time, WARSAW), '00:30:05 Europe/Warsaw')
  assert.equal(zoneMinute(new Date(time), WARSAW), '00:30 Europe/Warsaw')
  assert.equal(shortMinute(time, WARSAW), '00:30')
  assert.equal(zoneTime(time, UTC), '23:30:05 UTC')
  const newfoundland = {
    timezone: 'America/St_Johns',
    offsets: [{ from: '1970-01-01T00:00:00Z', seconds: -12_600 }],
  }
  assert.equal(zoneDay('2026-11-22T03:29:59Z', newfoundland), '21 Nov 2026')
  assert.equal(zoneTime('2026-11-22T03:29:59Z', newfoundland), '23:59:59 America/St_Johns')
})

test('takes the first clock it knows for all that was before', () => {
  assert.equal(zoneTime('2026-01-01T00:00:00Z', WARSAW), '02:00:00 Europe/Warsaw')
})

test('says which one it is of an hour that there is twice, and of no other', () => {
  const at = (time: string) => zoneTime(time, WARSAW)
  assert.equal(at('2026-10-24T23:59:59Z'), '01:59:59 Europe/Warsaw')
  assert.equal(at('2026-10-25T00:00:00Z'), '02:00:00 Europe/Warsaw (UTC+2)')
  assert.equal(at('2026-10-25T00:59:59Z'), '02:59:59 Europe/Warsaw (UTC+2)')
  assert.equal(at('2026-10-25T01:00:00.000Z'), '02:00:00 Europe/Warsaw (UTC+1)')
  assert.equal(at('2026-10-25T01:59:59Z'), '02:59:59 Europe/Warsaw (UTC+1)')
  assert.equal(at('2026-10-25T02:00:00Z'), '03:00:00 Europe/Warsaw')
  // When the clocks go forward, one hour does not exist.
  assert.equal(at('2026-03-29T01:00:00Z'), '03:00:00 Europe/Warsaw')
})
