import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Pace } from './steps.ts'

test('steps take more rows while they are quick, and fewer once one is slow', async () => {
  const pace = new Pace()
  const first = pace.rows
  assert.equal(await pace.step(async rows => rows), first)
  assert.equal(pace.rows, 2 * first)
  for (let step = 0; step < 10; step++) await pace.step(async () => {})
  const most = pace.rows
  await pace.step(async () => {})
  assert.equal(pace.rows, most)
  await pace.step(() => sleep(250))
  assert.ok(pace.rows < most / 2, `${pace.rows} after ${most}`)
  for (let step = 0; step < 3; step++) await pace.step(() => sleep(500))
  const few = pace.rows
  assert.ok(few > 0 && few < first)
})
