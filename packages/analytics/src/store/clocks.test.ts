import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertClocksAgree } from './clocks.ts'
import { ClocksDiffer } from './failures.ts'

const serverAhead = (seconds: number) => async () => Math.floor(Date.now() / 1_000) + seconds

test('clocks that are up to an hour apart agree', async () => {
  for (const seconds of [0, 3_590, -3_590]) await assertClocksAgree(serverAhead(seconds))
})

test('clocks that are further apart do not, and both times are named', async () => {
  for (const seconds of [3_610, -3_610, 40 * 86_400, -365 * 86_400]) {
    const server = new Date(Date.now() + seconds * 1_000).toISOString().slice(0, 13)
    await assert.rejects(assertClocksAgree(serverAhead(seconds)), (error: Error) => {
      assert.ok(error instanceof ClocksDiffer)
      assert.match(error.message, new RegExp(`this host says ${new Date().toISOString().slice(0, 13)}`))
      assert.match(error.message, new RegExp(`database server ${server}`))
      return true
    })
  }
})
