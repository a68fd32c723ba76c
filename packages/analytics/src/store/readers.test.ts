import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BatchReaders } from './readers.ts'

const WINDOW = { day: '2026-11-21', postUuid: 'b', slice: 0 }

function listed(readers: BatchReaders) {
  return readers
    .windows()
    .map(({ visitors, ...window }) => ({ ...window, visitors: [...visitors] }))
    .toArray()
}

test('a reader is listed once in a window of a post', () => {
  const readers = new BatchReaders()
  for (const visitor of ['two', 'one', 'two']) readers.add({ ...WINDOW, visitor })
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
  for (const window of others) readers.add({ ...window, visitor: 'one' })
  assert.deepEqual(listed(readers), [
    { ...WINDOW, postUuid: 'a', visitors: ['one'] },
    { ...WINDOW, visitors: ['one'] },
    { ...WINDOW, slice: 1, visitors: ['one'] },
    { ...WINDOW, day: '2026-11-22', visitors: ['one'] },
  ])
})

test('a reader who is taken out is gone, and nobody else', () => {
  const readers = new BatchReaders()
  for (const visitor of ['one', 'two']) readers.add({ ...WINDOW, visitor })
  readers.delete({ ...WINDOW, visitor: 'one' })
  readers.delete({ ...WINDOW, slice: 5, visitor: 'two' })
  readers.delete({ ...WINDOW, postUuid: 'unheard of', visitor: 'two' })
  assert.deepEqual(listed(readers), [{ ...WINDOW, visitors: ['two'] }])
})
