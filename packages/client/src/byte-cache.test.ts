import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ByteCache, entryBytes, ownCopy } from './byte-cache.ts'

test('a copy is the same text, whatever is in it', () => {
  for (const text of [
    '',
    'a',
    'x'.repeat(5_000),
    'Zażółć',
    'читатель',
    '😀'.repeat(20),
    '\0\ud800 half',
    '\udc00',
  ])
    assert.equal(ownCopy(`some ${text} more`.slice(5, 5 + text.length)), text)
})

describe('what is kept', () => {
  test('is found again, and replaced', () => {
    const kept = new ByteCache<number>(10_000)
    kept.set('a', 1, 100)
    kept.set('b', 2, 100)
    kept.set('a', 3, 100)
    assert.deepEqual([kept.get('a'), kept.get('b'), kept.get('c')], [3, 2, undefined])
    kept.delete('a')
    assert.deepEqual([kept.get('a'), kept.get('b')], [undefined, 2])
  })

  test('never takes more than the bytes it may', () => {
    for (const often of [1, 3, 50]) {
      const kept = new ByteCache<number>(10_000)
      const bytesOf = (n: number) => 100 + (n % 7) * 300
      for (let n = 0; n < 1_000; n++) {
        kept.set(String(n), bytesOf(n), bytesOf(n))
        kept.get(String(n - (n % often)))
      }
      let bytes = 0
      for (let n = 0; n < 1_000; n++) bytes += kept.get(String(n)) ?? 0
      // Reads from the oldest entry on, so no hit evicts an entry that is still to be read.
      assert.ok(bytes > 2_000 && bytes <= 10_000, `${bytes}`)
    }
  })

  test('is what was used last', () => {
    const kept = new ByteCache<number>(10_000)
    kept.set('often', 0, 100)
    for (let n = 0; n < 500; n++) {
      kept.set(`once ${n}`, n, 100)
      assert.equal(kept.get('often'), 0)
    }
    assert.equal(kept.get('once 0'), undefined)
    assert.equal(kept.get('once 499'), 499)
  })

  test('does not push all else out where it is large', () => {
    const kept = new ByteCache<number>(10_000)
    kept.set('small', 1, entryBytes('small'))
    kept.set('large', 2, 9_000)
    assert.deepEqual([kept.get('small'), kept.get('large')], [1, undefined])
  })
})
