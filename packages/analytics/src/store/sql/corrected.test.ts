import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { randomOf } from '../../../../../test/store-contract-random.ts'
import { eachDetail } from '../figures.ts'
import { corrected } from './corrected.ts'
import type { Aggregate } from './recount.ts'

const RIGHT: Aggregate = {
  ...eachDetail(() => 0),
  view_count: 10,
  unique_views: 7,
  logged_in: 3,
  bots: 1,
  first_viewed_at: 1_000,
  last_viewed_at: 2_000,
}

/** Two more views: one before all others. */
const BATCH: Aggregate = {
  ...eachDetail(() => 0),
  view_count: 2,
  unique_views: 1,
  logged_in: 1,
  bots: 0,
  first_viewed_at: 900,
  last_viewed_at: 1_500,
}

describe('a wrong aggregate', () => {
  test('becomes what the recount says where nothing was added meanwhile', () => {
    for (const found of [null, { ...RIGHT, view_count: 3 }, { ...RIGHT, bots: null, first_viewed_at: 1 }]) {
      assert.deepEqual(corrected(found, { expected: RIGHT, found }), { value: RIGHT, isCertain: true })
    }
    assert.deepEqual(corrected(RIGHT, { expected: null, found: RIGHT }), { value: null, isCertain: true })
  })

  test('keeps what batches added since it was looked at', () => {
    const found = { ...RIGHT, view_count: 3, unique_views: 70, last_viewed_at: null }
    const { value, isCertain } = corrected(added(found, BATCH), { expected: RIGHT, found })
    assert.deepEqual(value, added(RIGHT, BATCH))
    assert.equal(isCertain, true)
  })

  test('keeps what a batch began anew where it was missing', () => {
    const { value, isCertain } = corrected(BATCH, { expected: RIGHT, found: null })
    assert.deepEqual(value, added(RIGHT, BATCH))
    assert.equal(isCertain, true)
  })

  test('is unknown where the recount says so, whatever was added', () => {
    const expected = { ...RIGHT, unique_views: null, logged_in: null, bots: null }
    const { value, isCertain } = corrected(added(RIGHT, BATCH), { expected, found: RIGHT })
    assert.deepEqual(value, added(expected, BATCH))
    assert.equal(isCertain, true)
  })

  test('is looked at again where it hid what was added', () => {
    for (const found of [
      { ...RIGHT, unique_views: null },
      { ...RIGHT, first_viewed_at: 5 },
      { ...RIGHT, last_viewed_at: 9_000 },
    ]) {
      assert.equal(corrected(added(found, BATCH), { expected: RIGHT, found }).isCertain, false)
    }
    const ghost = { ...RIGHT, view_count: 40 }
    assert.equal(corrected(added(ghost, BATCH), { expected: null, found: ghost }).isCertain, false)
  })

  test('is right in the end, however it was wrong and whatever comes between the looks', () => {
    const random = randomOf(15)
    const number = () => random(0, 40)
    for (let times = 0; times < 5_000; times++) {
      let truth: Aggregate | null = random(0, 3) === 0 ? null : { ...RIGHT, view_count: 10 + number() }
      let stored: Aggregate | null = random(0, 3) === 0 ? null : { ...RIGHT, view_count: number() }
      if (stored !== null && random(0, 1) === 0) stored.unique_views = random(0, 1) === 0 ? null : number()
      if (stored !== null && random(0, 1) === 0) stored.first_viewed_at = random(0, 2) === 0 ? null : number()
      if (stored !== null && random(0, 1) === 0) stored.last_viewed_at = 3_000 - 2 * random(0, 1_000)
      for (let looks = 1; ; looks++) {
        assert.ok(looks < 5, 'it takes a few looks')
        const look = { expected: truth, found: stored }
        // Batches arrive only between the first looks; more of them would test nothing new.
        for (let batches = looks < 3 ? random(0, 2) : 0; batches > 0; batches--) {
          const batch = { ...BATCH, first_viewed_at: random(1, 2_000), last_viewed_at: random(2_000, 4_000) }
          truth = added(truth, batch)
          stored = added(stored, batch)
        }
        const right = corrected(stored, look)
        stored = right.value
        if (right.isCertain) break
      }
      assert.deepEqual(stored, truth)
    }
  })
})

/** As a batch adds: what is unknown stays unknown. */
function added(to: Aggregate | null, batch: Aggregate): Aggregate {
  if (to === null) return { ...batch }
  const sum = (a: number | null, b: number | null) => (a === null || b === null ? null : a + b)
  const extreme = (of: (...times: number[]) => number, ...times: Aggregate['first_viewed_at'][]) =>
    of(...times.filter(time => time !== null).map(Number))
  return {
    view_count: to.view_count + batch.view_count,
    ...eachDetail(name => sum(to[name], batch[name])),
    first_viewed_at: extreme(Math.min, to.first_viewed_at, batch.first_viewed_at),
    last_viewed_at: extreme(Math.max, to.last_viewed_at, batch.last_viewed_at),
  }
}
