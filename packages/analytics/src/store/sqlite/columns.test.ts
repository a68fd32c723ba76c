import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KEPT_NAMES, type KeptRow } from '../kept.ts'
import { boundValues, buffersOf, rowAt, toColumns } from './columns.ts'

const BLANK = Object.fromEntries(KEPT_NAMES.map(name => [name, null])) as unknown as KeptRow
const ROW: KeptRow = {
  ...BLANK,
  eventId: '0197a0c4-0000-7000-8000-00000000abcf',
  postUuid: '42',
  userId: '18446744073709551615',
  ip: '192.0.2.1',
  userAgent: 'a browser',
  referer: 'https://example.com/',
  viewedAt: 4_294_967_296,
  receivedAt: 1_795_000_001,
  day: '2026-11-21',
  slice: 3,
  loggedIn: true,
  bot: false,
  visitor: '0123456789abcdef'.repeat(2),
  refererHost: '',
  hour: 24,
  utm: 'hn\t\t\t',
  origin: 'news',
  agent: 'Firefox',
  country: 'PL',
}
const ANONYMOUS: KeptRow = {
  ...ROW,
  eventId: null,
  userId: null,
  ip: null,
  userAgent: '',
  referer: null,
  loggedIn: false,
  refererHost: 'example.com',
}
const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'))
const ROWS = [ROW, ANONYMOUS, { ...ROW, userAgent: null }]

test('every row is counted as it went in', () => {
  const columns = toColumns(ROWS)
  for (const [index, row] of ROWS.entries()) {
    const counted = rowAt(columns, index)
    for (const name of KEPT_NAMES) {
      if (name === 'eventId' || name === 'visitor') continue
      assert.deepEqual(counted[name], row[name], name)
    }
  }
})

test('every row is bound as it is stored, and each text is handed over once', () => {
  const columns = toColumns(ROWS)
  assert.deepEqual(columns.texts.toSorted(), [
    '',
    '2026-11-21',
    '42',
    'Firefox',
    'PL',
    'a browser',
    'example.com',
    'news',
  ])
  const bound = boundValues(columns, place => 100 + place)
  const numberOf = (text: string) => 100 + columns.texts.indexOf(text)
  const values = (row: number) => Object.fromEntries(KEPT_NAMES.map((name, at) => [name, bound[at]!(row)]))
  assert.deepEqual(values(0), {
    ...ROW,
    postUuid: numberOf('42'),
    userAgent: numberOf('a browser'),
    refererHost: numberOf(''),
    origin: numberOf('news'),
    agent: numberOf('Firefox'),
    country: numberOf('PL'),
    eventId: bytesOf('0197a0c400007000800000000000abcf'),
    visitor: bytesOf(ROW.visitor),
    loggedIn: 1,
    bot: 0,
  })
  assert.equal(values(1)['eventId'], null)
  assert.equal(values(1)['userAgent'], numberOf(''))
  assert.equal(values(2)['userAgent'], null)
})

test('buffers change hands: nothing of them is copied', () => {
  const columns = toColumns(ROWS)
  const [buffer] = buffersOf(columns)
  const other = structuredClone(columns, { transfer: buffersOf(columns) })
  assert.equal(buffer!.byteLength, 0)
  assert.deepEqual(other, toColumns(ROWS))
})
