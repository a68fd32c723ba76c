import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  encodeRecord,
  idIn,
  jsonOf,
  MAX_EVENT_BYTES,
  MAX_LINE_BYTES,
  mayBeBegun,
  recordAt,
  type Span,
} from './record.ts'

interface SpooledEvent {
  id: string
  json: string
}

const EVENTS: SpooledEvent[] = ['a', 'über', 'c'].map((post, n) => ({
  id: `0190163d-8694-739b-aea5-00000000000${n}`,
  json: JSON.stringify({ post_uuid: post, event_id: `0190163d-8694-739b-aea5-00000000000${n}` }),
}))
const RECORDS = EVENTS.map(event => Buffer.from(encodeRecord(event)))

function eventIn(bytes: Buffer, body: Span): SpooledEvent {
  const { start, end } = jsonOf(body)
  return { id: idIn(bytes, body), json: bytes.toString('utf8', start, end) }
}

/** Reads all records. */
function read(bytes: Buffer): { events: SpooledEvent[]; damaged: number; rest: number } {
  const events: SpooledEvent[] = []
  let damaged = 0
  let at = 0
  for (let record = recordAt(bytes, at); record !== undefined; record = recordAt(bytes, at)) {
    if (record.body === undefined) damaged++
    else events.push(eventIn(bytes, record.body))
    at = record.end
    if (at === bytes.length) break
  }
  return { events, damaged, rest: bytes.length - at }
}

test('reads what was written', () => {
  assert.deepEqual(read(Buffer.concat(RECORDS)), { events: EVENTS, damaged: 0, rest: 0 })
})

test('whatever bit of a record is wrong, its neighbours are read, and it is never read as something else', () => {
  const before = RECORDS[0]!.length
  const after = before + RECORDS[1]!.length
  for (let at = before; at < after; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const bytes = Buffer.concat(RECORDS)
      bytes[at]! ^= 1 << bit
      const { events, damaged, rest } = read(bytes)
      const where = `bit ${bit} of byte ${at - before}`
      const others = events.filter(({ id }) => id !== EVENTS[1]!.id)
      assert.deepEqual(others, [EVENTS[0], EVENTS[2]], where)
      const itself = events.filter(({ id }) => id === EVENTS[1]!.id)
      assert.ok(itself.length === 1 || damaged > 0, where)
      assert.deepEqual(itself, itself.length === 0 ? [] : [EVENTS[1]], where)
      assert.equal(rest, 0, where)
    }
  }
})

test('however much of a record is gone, its neighbours are read', () => {
  const before = RECORDS[0]!.length
  const after = before + RECORDS[1]!.length
  for (let from = before; from < after; from++) {
    for (const to of [from + 1, Math.ceil((from + after) / 2), after]) {
      const bytes = Buffer.concat(RECORDS).fill(0, from, to)
      const { events, rest } = read(bytes)
      const others = events.filter(({ id }) => id !== EVENTS[1]!.id)
      assert.deepEqual(others, [EVENTS[0], EVENTS[2]], `${from - before} to ${to - before}`)
      assert.equal(rest, 0)
    }
  }
})

test('the beginning of a record is told from what is none', () => {
  const [record] = RECORDS
  for (let end = 1; end < record!.length; end++) assert.ok(mayBeBegun(record!.subarray(0, end)), String(end))
  for (const text of ['\0\0\0', 'x', '0123 ', '012345678', '01234567 x']) {
    assert.ok(!mayBeBegun(Buffer.from(text)), text)
  }
})

test('a record whose end has not come is not read', () => {
  const bytes = Buffer.concat(RECORDS)
  const complete = RECORDS[0]!.length + RECORDS[1]!.length
  for (let end = complete + 1; end < bytes.length; end++) {
    const { events, damaged, rest } = read(bytes.subarray(0, end))
    assert.deepEqual(events, EVENTS.slice(0, 2))
    assert.equal(damaged, 0)
    assert.equal(rest, end - complete)
  }
})

test('bytes that are no line at all are passed over once they are longer than a line can be', () => {
  assert.equal(recordAt(Buffer.alloc(MAX_LINE_BYTES - 1), 0), undefined)
  assert.deepEqual(recordAt(Buffer.alloc(MAX_LINE_BYTES), 0), { body: undefined, end: MAX_LINE_BYTES })
})

test('the longest event is shorter than the longest line', () => {
  const longest = Buffer.from(encodeRecord({ id: EVENTS[0]!.id, json: '"'.padEnd(MAX_EVENT_BYTES, 'x') }))
  assert.ok(2 * longest.length <= MAX_LINE_BYTES)
})
