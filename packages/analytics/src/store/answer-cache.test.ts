import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AnswerCache } from './answer-cache.ts'

/** A clock of the test's own, and answers that take this long by it, each with another number. */
function setUp() {
  let nowMs = 1_000
  let made = 0
  const pass = (ms: number) => {
    nowMs += ms
  }
  const taking = (ms: number) => async () => {
    await Promise.resolve()
    pass(ms)
    return ++made
  }
  return { held: new AnswerCache(() => nowMs), pass, taking }
}

test('gives a dear answer again for ten times as long as it took, and then makes another', async () => {
  const { held, pass, taking } = setUp()
  assert.equal(await held.get('a', 10_000, taking(20)), 1)
  pass(199)
  assert.equal(await held.get('a', 10_000, taking(20)), 1)
  pass(1)
  assert.equal(await held.get('a', 10_000, taking(20)), 2)
})

test('gives none that is older than 3 s', async () => {
  const { held, pass, taking } = setUp()
  assert.equal(await held.get('a', 10_000, taking(1_000)), 1)
  pass(1_999)
  assert.equal(await held.get('a', 10_000, taking(1_000)), 1)
  pass(1)
  assert.equal(await held.get('a', 10_000, taking(1_000)), 2)
})

test('gives none that is older than who asks allows', async () => {
  const { held, pass, taking } = setUp()
  assert.equal(await held.get('a', 10_000, taking(100)), 1)
  assert.equal(await held.get('a', 101, taking(100)), 1)
  pass(1)
  assert.equal(await held.get('a', 101, taking(100)), 2)
  assert.equal(await held.get('a', 0, taking(100)), 3)
})

test('makes an answer once for all who ask while it is made', async () => {
  const { held, taking } = setUp()
  assert.deepEqual(
    await Promise.all([held.get('a', 10_000, taking(20)), held.get('a', 10_000, taking(20))]),
    [1, 1],
  )
})

test('gives no answer to another question', async () => {
  const { held, taking } = setUp()
  assert.equal(await held.get('a', 10_000, taking(20)), 1)
  assert.equal(await held.get('b', 10_000, taking(20)), 2)
})

test('makes an answer that takes no time anew', async () => {
  const { held, taking } = setUp()
  assert.equal(await held.get('a', 10_000, taking(0)), 1)
  assert.equal(await held.get('a', 10_000, taking(0)), 2)
})

test('holds no failure', async () => {
  const { held, pass, taking } = setUp()
  const failing = async () => {
    pass(20)
    throw new Error('away')
  }
  await assert.rejects(held.get('a', 10_000, failing), /away/)
  assert.equal(await held.get('a', 10_000, taking(0)), 1)
})
