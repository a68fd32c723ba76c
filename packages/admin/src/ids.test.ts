import assert from 'node:assert/strict'
import { test } from 'node:test'
import { idsWith } from './ids.ts'

test('finds ids by any part of them, in whatever case, in the order given, and not without end', () => {
  const ids = ['b-2026-x', 'A-2026', '0190163d-8694-739b-aea5-000000000001', '42']
  assert.deepEqual(idsWith('2026', ids), ['b-2026-x', 'A-2026'])
  assert.deepEqual(idsWith('a-20', ids), ['A-2026'])
  assert.deepEqual(idsWith('739B-AEA5', ids), ['0190163d-8694-739b-aea5-000000000001'])
  assert.deepEqual(idsWith('bread', ids), [])
  assert.equal(idsWith('4', Array(1_000).fill('42')).length, 50)
})
