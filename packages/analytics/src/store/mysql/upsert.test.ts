import assert from 'node:assert/strict'
import { test } from 'node:test'
import { spelling, upsert } from './upsert.ts'

test('spells an upsert as MariaDB knows it, and as MySQL does', () => {
  const counts = upsert('counts', ['id', 'n'], added => `n = n + ${added('n')}`)
  assert.deepEqual(spelling(counts, { isMysql: false }), {
    insert: 'INSERT INTO counts (id, n) VALUES ',
    update: ' ON DUPLICATE KEY UPDATE n = n + VALUES(n)',
  })
  assert.deepEqual(spelling(counts, { isMysql: true }), {
    insert: 'INSERT INTO counts (id, n) VALUES ',
    update: ' AS added (added_id, added_n) ON DUPLICATE KEY UPDATE n = n + added_n',
  })
})
