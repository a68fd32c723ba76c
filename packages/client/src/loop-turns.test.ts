import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLoopTurns } from './loop-turns.ts'

test('gives each turn of the event loop to one caller, in the order they came', async () => {
  const loopTurn = createLoopTurns()
  let loops = 0
  const count = () => {
    loops++
    if (loops < 10) setImmediate(count)
  }
  setImmediate(count)
  const seen = await Promise.all(Array.from({ length: 5 }, () => loopTurn().then(() => loops)))
  assert.equal(new Set(seen).size, 5, seen.join())
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b),
  )
})
