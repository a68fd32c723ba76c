import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NO_BOUND, NO_VALUE } from './bounds.ts'
import { type Breakdown, Pack } from './pack.ts'

const ONE = { views: 1, bots: 0 }
const THREE = { values: 3, bytes: 1_000 }

function filled(breakdown: Breakdown, values: Record<string, number>, bound = NO_BOUND): Breakdown {
  for (const [value, views] of Object.entries(values)) breakdown.add(value, { views, bots: 0 }, bound)
  return breakdown
}

function viewsIn({ values, others }: Breakdown): Record<string, number> {
  const all = [...values].map(([value, { views }]): [string, number] => [value, views])
  return Object.fromEntries(others === null ? all : [...all, ['<others>', others.views]])
}

test('a pack is read as it was written, whatever its values are called', () => {
  const pack = new Pack()
  const breakdown = pack.of('referrer')
  for (const value of ['news.example', '__proto__', 'constructor', '"others":', '1', 'ж', NO_VALUE]) {
    breakdown.add(value, { views: 2, bots: 1 }, NO_BOUND)
  }
  breakdown.set('from before', { views: 7, bots: null })
  breakdown.addToOthers({ views: 9, bots: 4 })
  const read = Pack.parse(pack.toString()).of('referrer')
  assert.deepEqual([...read.values].sort(), [...breakdown.values].sort())
  assert.deepEqual(read.others, breakdown.others)
  assert.equal(new Pack().toString(), '{}')
  assert.ok(Pack.parse().isEmpty)
})

test('a text of the form that migrations write is read', () => {
  const { values, others } = Pack.parse(
    '{"referrer":{"values":{"":[3,null],"a.example":[5,null]},"others":[20,null]}}',
  ).of('referrer')
  assert.deepEqual(
    [...values.values()],
    [
      { views: 3, bots: null },
      { views: 5, bots: null },
    ],
  )
  assert.deepEqual(others, { views: 20, bots: null })
})

test('where nobody knows how many were bots, nobody knows it of the sum', () => {
  const breakdown = new Pack().of('referrer')
  breakdown.set('a', { views: 7, bots: null })
  breakdown.add('a', { views: 1, bots: 1 }, NO_BOUND)
  assert.deepEqual(breakdown.values.get('a'), { views: 8, bots: null })
})

test('values beyond the bound are one sum, and from then on new values are too', () => {
  const breakdown = filled(new Pack().of('referrer'), { a: 1, b: 1, c: 1, d: 1 }, THREE)
  assert.deepEqual(viewsIn(breakdown), { a: 1, b: 1, c: 1, '<others>': 1 })
  breakdown.add('a', ONE, THREE)
  breakdown.add(NO_VALUE, ONE, THREE)
  // `e` may already be among the others.
  breakdown.add('e', ONE, { values: 100, bytes: 1_000 })
  assert.deepEqual(viewsIn(breakdown), { a: 2, b: 1, c: 1, [NO_VALUE]: 1, '<others>': 2 })
})

test('long values are bounded by their bytes', () => {
  const bound = { values: 100, bytes: 10 }
  const breakdown = filled(new Pack().of('referrer'), { жжжж: 1, ab: 1, c: 1 }, bound)
  assert.deepEqual(viewsIn(breakdown), { жжжж: 1, ab: 1, '<others>': 1 })
})

test('is cut to the values with most views, equals by their names', () => {
  const breakdown = filled(new Pack().of('referrer'), { d: 2, b: 1, c: 1, a: 1, e: 3, [NO_VALUE]: 1 })
  assert.equal(breakdown.cutTo(THREE), true)
  assert.deepEqual(viewsIn(breakdown), { [NO_VALUE]: 1, e: 3, d: 2, a: 1, '<others>': 2 })
  assert.equal(breakdown.cutTo(THREE), false)
  breakdown.add('a', ONE, THREE)
  assert.deepEqual(viewsIn(breakdown)['a'], 2)
})

test('adding a pack to another loses no view', () => {
  const [pack, other] = [new Pack(), new Pack()]
  filled(pack.of('referrer'), { a: 1, b: 1, c: 1 })
  filled(other.of('referrer'), { c: 5, d: 5 }).addToOthers({ views: 2, bots: 1 })
  pack.merge(other, THREE)
  assert.deepEqual(viewsIn(pack.of('referrer')), { a: 1, b: 1, c: 6, '<others>': 7 })
})

test('what counts nothing is not written, but for bots that are kept out of the views', () => {
  const pack = new Pack()
  pack.of('referrer').set('nothing', { views: 0, bots: 0 })
  pack.of('referrer').set('crawled', { views: 0, bots: 3 })
  assert.equal(pack.toString(), '{"referrer":{"values":{"crawled":[0,3]}}}')
})
