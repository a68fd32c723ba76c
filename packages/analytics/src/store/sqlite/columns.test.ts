import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KEPT_NAMES, type KeptRow } from '../row.ts'
import { rowAt, toColumns } from './columns.ts'

const BLANK = Object.fromEntries(KEPT_NAMES.map(name => [name, null])) as unknown as KeptRow
const ROW: KeptRow = {
  ...BLANK,
  eventId: '0197a0c4-0000-7000-8000-000000000001',
  postUuid: '42',
  userId: '7',
  ip: '192.0.2.1',
  userAgent: 'a browser',
  referer: 'https://example.com/',
  viewedAt: 1_795_000_000,
  receivedAt: 1_795_000_001,
  day: '2026-11-21',
  slice: 3,
  loggedIn: true,
  bot: false,
  visitor: 'f'.repeat(32),
  refererHost: 'example.com',
}
const ANONYMOUS: KeptRow = { ...ROW, eventId: null, userId: null, ip: null, userAgent: null, referer: null }

test('every row comes out as it went in', () => {
  const rows = [ROW, ANONYMOUS]
  const columns = toColumns(rows)
  assert.deepEqual(
    rows.map((_, index) => rowAt(columns, index)),
    rows,
  )
})
