import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { DeadSize } from './dead-size.ts'

/** The broker is asked and answers at once. */
function look(size: DeadSize, count: number, inFlight = 0): void {
  size.counted(count, size.messages, inFlight)
}

function filled(letters: number, bytes: number): DeadSize {
  const size = new DeadSize()
  look(size, 0)
  for (let n = 0; n < letters; n++) size.add(bytes)
  return size
}

/** Within a tenth, which is all that is promised. */
function about(size: DeadSize, bytes: number): void {
  assert.ok(Math.abs(size.bytes! - bytes) <= bytes / 10, `${size.bytes} for ${bytes}`)
}

describe('the bytes of the dead letters', () => {
  test('are unknown until the broker has counted', () => {
    const size = new DeadSize()
    assert.deepEqual([size.bytes, size.messages], [null, null])
    size.add(100)
    assert.equal(size.bytes, null)
    look(size, 0)
    assert.deepEqual([size.bytes, size.isGuess], [0, false])
  })

  test('are exact of letters of this process, however they differ', () => {
    const size = new DeadSize()
    look(size, 0)
    let bytes = 0
    for (let n = 0; n < 5_000; n++) {
      const letter = n % 100 === 0 ? 1_048_576 : 100
      size.add(letter)
      bytes += letter
      // One more is on its way, and may be counted already.
      if (n % 7 === 0) size.counted(n + 2, n + 1, 1)
    }
    assert.equal(size.bytes, bytes)
  })

  test('of those that were there before are a guess, until some were looked at', () => {
    const size = new DeadSize()
    look(size, 5_000)
    assert.equal(size.isGuess, true)
    size.sampled({ messages: 100, bytes: 300_000 })
    assert.deepEqual([size.isGuess, size.bytes], [false, 15_000_000])
  })

  test('of other processes are like those of this one at that time', () => {
    const size = filled(10_000, 100)
    let own = 1_000_000
    for (let n = 0; n < 3_000; n++) {
      const bytes = n % 50 === 7 ? 100_000 : 200
      own += bytes
      size.add(bytes)
      if (n % 10 === 0) look(size, 10_000 + 3 * (n + 1))
    }
    about(size, own + 2 * (own - 1_000_000))
    assert.ok(Math.abs(size.messages! - 19_000) < 50)
  })

  test('of other processes are counted, but for those that may be on their way here', () => {
    const size = filled(100, 1_000)
    look(size, 150, 50)
    assert.equal(size.bytes, 100_000)
    for (let n = 0; n < 50; n++) size.add(1_000)
    look(size, 170)
    assert.equal(size.bytes, 170_000)
  })

  test('are none once the queue was purged, and of what stays its share', () => {
    const size = filled(1_000, 500)
    look(size, 400)
    assert.deepEqual([size.bytes, size.isTakenFrom], [200_000, true])
    look(size, 0)
    assert.deepEqual([size.bytes, size.isTakenFrom], [0, false])
  })

  test('come back with what a command had only looked at, whatever was published meanwhile', () => {
    const size = filled(100_000, 100)
    look(size, 300)
    for (let n = 0; n < 10; n++) size.add(1_048_576)
    look(size, 310)
    look(size, 100_010)
    about(size, 100_000 * 100 + 10 * 1_048_576)
    assert.equal(size.isTakenFrom, false)
  })

  test('are like other new ones where what was taken out is not back for ten minutes', () => {
    let nowMs = 0
    const size = new DeadSize(() => nowMs)
    look(size, 0)
    for (let n = 0; n < 1_000; n++) size.add(1_000_000)
    look(size, 0)
    for (let n = 0; n < 20_000; n++) size.add(100)
    nowMs = 600_001
    look(size, 30_000)
    about(size, 3_000_000)
  })

  test('a confirm that overtakes the count takes nothing out', () => {
    const size = filled(10, 100)
    const least = size.messages
    size.add(100)
    size.counted(10, least, 0)
    assert.equal(size.bytes, 1_100)
  })
})
