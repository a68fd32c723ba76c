import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Calendar } from './calendar.ts'
import {
  changeAt,
  firstAgreement,
  firstDifference,
  isNewer,
  isSameTimeZone,
  NEWEST_RULES,
  timeZoneNamed,
  zoneTime,
} from './zone-rules.ts'

const HOUR = 3_600

function unix(time: string): number {
  return Date.parse(time) / 1_000
}

function offsetHours(timeZone: string, time: string): number {
  const { changes } = NEWEST_RULES.zone(timeZone)!
  return changes[changeAt(changes, unix(time))]!.offset / HOUR
}

/** What the clocks show, as if it were UTC. */
function local(time: string): number {
  return unix(`${time}Z`)
}

/** Where clocks were no longer set back in 2026: on 2026-11-15 at 12:00 UTC they show this hour. */
const CHANGED_IN_2026 = [
  ['America/Vancouver', 5, 4],
  ['America/Edmonton', 6, 5],
  ['America/Winnipeg', 7, 6],
  ['America/Inuvik', 6, 5],
  ['America/Havana', 8, 7],
] as const

for (const [timeZone, hour, hourBefore] of CHANGED_IN_2026) {
  test(`${timeZone} no longer sets its clocks back in the autumn of 2026`, () => {
    assert.equal(12 + offsetHours(timeZone, '2026-11-15T12:00:00Z'), hour)
    assert.equal(12 + offsetHours(timeZone, '2027-01-15T12:00:00Z'), hour)
    assert.equal(12 + offsetHours(timeZone, '2026-10-15T12:00:00Z'), hour)
    assert.equal(12 + offsetHours(timeZone, '2025-11-15T12:00:00Z'), hourBefore)
    assert.equal(12 + offsetHours(timeZone, '2025-10-15T12:00:00Z'), hour)

    const calendar = new Calendar(timeZone, 24)
    assert.equal(
      calendar.bounds('2026-11-15').start,
      unix(`2026-11-15T${String(12 - hour).padStart(2, '0')}:00:00Z`),
    )
    assert.equal(
      calendar.bounds('2025-11-15').start,
      unix(`2025-11-15T${String(12 - hourBefore).padStart(2, '0')}:00:00Z`),
    )
  })
}

test('the rules say of which release they are, from 2026f on', () => {
  assert.match(NEWEST_RULES.release, /^2\d{3}[a-z]$/)
  assert.ok(!isNewer('2026f', NEWEST_RULES.release))
  assert.ok(isNewer('2026f', '2026c'))
  assert.ok(isNewer('2027a', '2026f'))
  assert.ok(!isNewer('2026c', '2026c'))
})

// The past since then is rarely corrected; what Node's data say of later times depends on their release.
test("the rules agree with Node's about every zone that Node knows, from 2000 to 2025", () => {
  const [since, until] = [unix('2000-01-01T00:00:00Z'), unix('2026-01-01T00:00:00Z')]
  const differing: string[] = []
  for (const timeZone of Intl.supportedValuesOf('timeZone')) {
    const zone = NEWEST_RULES.zone(timeZone)
    assert.ok(zone, timeZone)
    const format = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' })
    const agreesAt = (moment: number) => {
      const shown = Date.parse(`${format.format(moment * 1_000).replace(' ', 'T')}Z`) / 1_000
      return shown === moment + zone.changes[changeAt(zone.changes, moment)]!.offset
    }
    const moments = zone.changes
      .filter(({ from }) => from >= since && from < until)
      .flatMap(({ from }) => [from - 1, from])
    for (let moment = since; moment < until; moment += 90 * 24 * HOUR) moments.push(moment)
    if (!moments.every(agreesAt)) differing.push(timeZone)
  }
  assert.deepEqual(differing, [])
})

test('two lists of changes differ from the first moment at which their clocks do', () => {
  const [summer, winter, later] = [
    { from: 100, offset: 7_200 },
    { from: 200, offset: 3_600 },
    { from: 300, offset: 7_200 },
  ]
  const start = { from: -Infinity, offset: 3_600 }
  const changes = [start, summer, winter]
  assert.equal(firstDifference(changes, changes), null)
  assert.equal(firstDifference(changes, [start, summer]), 200)
  assert.equal(firstDifference(changes, [start]), 100)
  assert.equal(firstDifference(changes, [start], { from: 150 }), 150)
  assert.equal(firstDifference(changes, [start], { from: 200 }), null)
  assert.equal(firstDifference(changes, [...changes, later], { from: 0 }), 300)
  assert.equal(firstDifference(changes, [...changes, later], { until: 300 }), null)
  assert.equal(firstDifference([start], [{ ...start, offset: 0 }], { from: 40 }), 40)
  assert.equal(firstAgreement(changes, [start]), -Infinity)
  assert.equal(firstAgreement(changes, [start], { from: 100 }), 200)
  assert.equal(firstAgreement(changes, [start], { from: 100, until: 200 }), null)
  // An entry that does not change the offset makes no difference.
  assert.equal(firstDifference(changes, [start, { from: 50, offset: 3_600 }, summer, winter]), null)
})

test('a time on the wall of a zone is an instant: the earlier one where there were two', () => {
  assert.equal(zoneTime('UTC', local('2026-03-10T12:00:00')), unix('2026-03-10T12:00:00Z'))
  assert.equal(zoneTime('europe/warsaw', local('2026-03-10T12:00:00')), unix('2026-03-10T11:00:00Z'))
  assert.equal(zoneTime('Europe/Warsaw', local('2026-10-25T01:59:59')), unix('2026-10-24T23:59:59Z'))
  assert.equal(zoneTime('Europe/Warsaw', local('2026-10-25T02:30:00')), unix('2026-10-25T00:30:00Z'))
  assert.equal(zoneTime('Europe/Warsaw', local('2026-10-25T03:00:00')), unix('2026-10-25T02:00:00Z'))
  // A time that the clocks skip is read with the offset before the change.
  assert.equal(zoneTime('Europe/Warsaw', local('2026-03-29T02:30:00')), unix('2026-03-29T01:30:00Z'))
  assert.equal(zoneTime('America/Winnipeg', local('2026-11-15T07:00:00')), unix('2026-11-15T12:00:00Z'))
  assert.equal(zoneTime('Asia/Kathmandu', local('2026-03-10T12:00:00')), unix('2026-03-10T06:15:00Z'))
  // A day that Samoa never had, and one that Alaska had twice.
  assert.equal(zoneTime('Pacific/Apia', local('2011-12-30T12:00:00')), unix('2011-12-30T22:00:00Z'))
  assert.equal(zoneTime('America/Juneau', local('1867-10-18T12:00:00')), unix('1867-10-17T20:57:41Z'))
  assert.equal(zoneTime('Europe/Nowhere', local('2026-03-10T12:00:00')), undefined)
})

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

test('only an IANA name is a time zone', () => {
  for (const name of ['UTC', 'Europe/Warsaw', 'America/Argentina/Buenos_Aires'])
    assert.equal(timeZoneNamed(name), name)
  for (const name of ['', 'Warsaw', 'Europe/Nowhere', '+02:00', '-0500', '2026-03-10T12:00Z'])
    assert.equal(timeZoneNamed(name), null, name)
})

test('a time zone is spelt its own way, and keeps the name it was given', () => {
  for (const [name, spelt] of [
    ['utc', 'UTC'],
    ['europe/warsaw', 'Europe/Warsaw'],
    ['AMERICA/PORT-AU-PRINCE', 'America/Port-au-Prince'],
    ['asia/kolkata', 'Asia/Kolkata'],
    ['asia/calcutta', 'Asia/Calcutta'],
    ['Europe/Kyiv', 'Europe/Kyiv'],
    ['etc/gmt+5', 'Etc/GMT+5'],
  ] as const)
    assert.equal(timeZoneNamed(name), spelt)
})
