import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PHP_ABBREVIATIONS, readTime, readUnixTime } from './time.ts'

const NOON = Date.UTC(2026, 10, 21, 12) / 1_000

describe('a Unix time', () => {
  test('is told its unit by its size', () => {
    const limits: [number, number][] = [
      [1e11 - 1, 1e11 - 1],
      [1e11, 1e8],
      [1e14 - 1, 1e11 - 1],
      [1e14, 1e8],
      [1e17 - 16, 1e11 - 1],
      [1e17, 1e8],
    ]
    for (const [value, seconds] of limits) {
      assert.equal(readUnixTime(value), seconds, String(value))
      assert.equal(readUnixTime(BigInt(value)), seconds, `${value}n`)
      assert.equal(readUnixTime(String(BigInt(value))), seconds, `'${value}'`)
    }
  })

  test('is cut to the second in every unit, and never rounded into the next', () => {
    for (const unitsPerSecond of [1n, 1_000n, 1_000_000n, 1_000_000_000n]) {
      for (const seconds of [NOON, NOON + 1, Date.UTC(2026, 10, 21, 23, 59, 59) / 1_000]) {
        const last = (BigInt(seconds) + 1n) * unitsPerSecond - 1n
        assert.equal(readUnixTime(last), seconds)
        assert.equal(readUnixTime(String(last)), seconds)
        assert.equal(readUnixTime(`${last}.9999999999`), seconds)
        // A number cannot hold the last nanoseconds of a second.
        if (unitsPerSecond < 1_000_000_000n) assert.equal(readUnixTime(Number(last)), seconds)
      }
    }
    assert.equal(readUnixTime(NOON * 1e3 + 999.9995), NOON)
    assert.equal(readUnixTime(NOON * 1e9), NOON)
  })

  test('is nothing else', () => {
    const others = [
      -1,
      -1n,
      Number.NaN,
      Infinity,
      '',
      ' 1',
      '1e9',
      '0x1',
      '-1',
      '1.',
      '.5',
      null,
      undefined,
      true,
      {},
    ]
    for (const other of others) assert.equal(readUnixTime(other), undefined, String(other))
  })

  test('of a megabyte of digits is read at once, and far away', () => {
    assert.ok(readUnixTime('9'.repeat(1e6))! > 1e300)
    assert.equal(readUnixTime('0'.repeat(1e6)), 0)
  })
})

describe('a PHP DateTime', () => {
  const of = (timezone_type: unknown, timezone: unknown, date: unknown = '2026-11-21 12:00:00.999999') =>
    readTime({ date, timezone_type, timezone })

  test('has an offset, an abbreviation or a zone', () => {
    assert.equal(of(1, '+00:00'), NOON)
    assert.equal(of(1, '+02:00'), NOON - 7_200)
    assert.equal(of(1, '-05:30'), NOON + 19_800)
    assert.equal(of(1, '+01:23:45'), NOON - 5_025)
    assert.equal(of(2, 'Z'), NOON)
    assert.equal(of(2, 'EST'), NOON + 18_000)
    assert.equal(of(2, 'cest'), NOON - 7_200)
    for (const zone of ['UTC', 'utc', 'GMT', 'Etc/UTC', 'Etc/GMT']) assert.equal(of(3, zone), NOON)
  })

  test('asks for the time in a zone, with its wall clock cut to the second', () => {
    const asked: [string, number][] = []
    const zoneTime = (zone: string, localSeconds: number) => {
      asked.push([zone, localSeconds])
      return zone === 'Europe/Berlin' ? localSeconds - 3_600 : undefined
    }
    const inZone = (timezone: string) =>
      readTime({ date: '2026-11-21 12:00:00.999999', timezone_type: 3, timezone }, zoneTime)
    assert.equal(inZone('Europe/Berlin'), NOON - 3_600)
    assert.equal(inZone('Europe/Nowhere'), undefined)
    assert.deepEqual(asked, [
      ['Europe/Berlin', NOON],
      ['Europe/Nowhere', NOON],
    ])
    assert.equal(of(3, 'Europe/Berlin'), undefined)
  })

  test('is no time where anything of it is missing or of another kind', () => {
    const wrong: unknown[] = [
      {},
      [],
      { date: '2026-11-21 12:00:00.000000' },
      { date: '2026-11-21 12:00:00.000000', timezone_type: 3 },
      { timezone_type: 3, timezone: 'UTC' },
    ]
    for (const time of wrong) assert.equal(readTime(time), undefined, JSON.stringify(time))
    const dates = [
      '2026-11-21T12:00:00',
      '2026-11-21 12:00',
      '2026-11-21 12:00:00Z',
      '2026-11-21 12:00:00+01:00',
      '2026-02-30 12:00:00',
      '-0001-11-30 00:00:00.000000',
      String(NOON),
      NOON,
      '',
    ]
    for (const date of dates) assert.equal(of(3, 'UTC', date), undefined, String(date))
    for (const type of [0, 4, '1', '3', 1.5, null, true])
      assert.equal(of(type, 'UTC'), undefined, String(type))
    for (const offset of ['', '02:00', '+2', '+02', '+24:00', '+02:60', 'Z', ' +02:00', 7200])
      assert.equal(of(1, offset), undefined, String(offset))
    for (const abbreviation of [
      '',
      'CST',
      'IST',
      'PST',
      'BST',
      'KST',
      'A',
      'Europe/Berlin',
      '__proto__',
      'toString',
      0,
    ])
      assert.equal(of(2, abbreviation), undefined, String(abbreviation))
    for (const zone of ['', 'constructor', 'UTC+1', 0]) assert.equal(of(3, zone), undefined, String(zone))
  })

  test('has abbreviations in upper case alone', () => {
    for (const name of PHP_ABBREVIATIONS.keys()) assert.match(name, /^[A-Z]+$/)
  })
})
