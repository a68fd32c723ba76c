import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BatchReaders, BOT, BOTH, NOT_NOTED, newlyUnique, PERSON } from './readers.ts'

const WINDOW = { day: '2026-11-21', postUuid: 'b', slice: 0 }

function listed(readers: BatchReaders) {
  return readers
    .windows()
    .map(({ visitors, ...window }) => ({ ...window, visitors: [...visitors.keys()] }))
    .toArray()
}

test('a reader is listed once in a window of a post', () => {
  const readers = new BatchReaders()
  for (const visitor of ['two', 'one', 'two']) readers.add({ ...WINDOW, visitor }, PERSON)
  assert.deepEqual(listed(readers), [{ ...WINDOW, visitors: ['two', 'one'] }])
})

test('a reader is another in another window, on another day and of another post', () => {
  const readers = new BatchReaders()
  const others = [
    WINDOW,
    { ...WINDOW, slice: 1 },
    { ...WINDOW, day: '2026-11-22' },
    { ...WINDOW, postUuid: 'a' },
  ]
  for (const window of others) readers.add({ ...window, visitor: 'one' }, PERSON)
  assert.deepEqual(listed(readers), [
    { ...WINDOW, postUuid: 'a', visitors: ['one'] },
    { ...WINDOW, visitors: ['one'] },
    { ...WINDOW, slice: 1, visitors: ['one'] },
    { ...WINDOW, day: '2026-11-22', visitors: ['one'] },
  ])
})

test('a reader who is taken out is gone, and nobody else', () => {
  const readers = new BatchReaders()
  for (const visitor of ['one', 'two']) readers.add({ ...WINDOW, visitor }, PERSON)
  assert.equal(readers.take({ ...WINDOW, visitor: 'one' }), PERSON)
  assert.equal(readers.take({ ...WINDOW, visitor: 'one' }), null)
  assert.equal(readers.take({ ...WINDOW, slice: 5, visitor: 'two' }), null)
  assert.equal(readers.take({ ...WINDOW, postUuid: 'unheard of', visitor: 'two' }), null)
  assert.deepEqual(listed(readers), [{ ...WINDOW, visitors: ['two'] }])
})

test('a reader who was seen as a person and as a bot is one reader', () => {
  const readers = new BatchReaders()
  for (const seen of [BOT, PERSON, BOT]) readers.add({ ...WINDOW, visitor: 'one' }, seen)
  assert.equal(readers.take({ ...WINDOW, visitor: 'one' }), BOTH)
})

test('a reader counts once among people, once among bots, and once among all', () => {
  const added = (before: number | null, seen: number, bots: 'count' | 'exclude' = 'count') =>
    Object.values(newlyUnique(before, seen, { bots }) ?? {})
  // Of the views that count, of bots, of both.
  assert.deepEqual(added(null, PERSON), [1, 0, 0])
  assert.deepEqual(added(null, BOT), [1, 1, 0])
  assert.deepEqual(added(null, BOTH), [1, 1, 1])
  assert.deepEqual(added(PERSON, BOT), [0, 1, 1])
  assert.deepEqual(added(BOT, PERSON), [0, 0, 1])
  assert.deepEqual(added(BOT, BOTH), [0, 0, 1])
  assert.deepEqual(added(null, BOT, 'exclude'), [0, 1, 0])
  assert.deepEqual(added(null, BOTH, 'exclude'), [1, 1, 1])
  assert.deepEqual(added(BOT, PERSON, 'exclude'), [1, 0, 1])
  for (const [before, seen] of [
    [PERSON, PERSON],
    [BOTH, BOT],
    [NOT_NOTED, BOT],
    [NOT_NOTED, PERSON],
  ] as const)
    assert.deepEqual(added(before, seen), [])
})
