import assert from 'node:assert/strict'
import { test } from 'node:test'
import { behind } from './layout.ts'

test('says that the numbers are up to date only when nothing is queued, and nothing is in hand either', () => {
  const counting = { queued: 0, dead: 0, last_committed_at: null, minutes: [] }
  assert.equal(behind({ ...counting, lag_seconds: 0 }), 'up to date')
  assert.equal(behind({ ...counting, lag_seconds: 120 }), '2 min behind')
  assert.equal(behind({ ...counting, lag_seconds: null }), 'queue empty')
  assert.equal(behind({ ...counting, queued: 3, lag_seconds: 120 }), '3 messages queued, 2 min behind')
  assert.equal(behind({ ...counting, queued: null, lag_seconds: 120 }), 'queue length unknown')
})
