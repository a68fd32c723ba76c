import assert from 'node:assert/strict'
import { test } from 'node:test'
import { uuidv7 } from './uuid.ts'

const V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

test('is a UUID of version 7 that begins with the time', () => {
  const before = Date.now()
  const id = uuidv7()
  assert.match(id, V7)
  const ms = Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
  assert.ok(ms >= before && ms <= Date.now())
})

test('each is greater than the one before, 100,000 within a few milliseconds', () => {
  let last = ''
  for (let n = 0; n < 100_000; n++) {
    const id = uuidv7()
    assert.ok(id > last, `${id} after ${last}`)
    last = id
  }
  assert.match(last, V7)
})

test('stays greater when the clock is set back, and when a millisecond runs out of numbers', () => {
  const now = Date.now() + 60_000
  let last = uuidv7(now)
  for (let n = 0; n < 10_000; n++) {
    const id = uuidv7(now - n)
    assert.match(id, V7)
    assert.ok(id > last)
    last = id
  }
})

test('never repeats its random part', () => {
  const ids = Array.from({ length: 50_000 }, () => uuidv7().slice(19))
  assert.equal(new Set(ids).size, ids.length)
})
