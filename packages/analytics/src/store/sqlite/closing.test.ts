import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { record, view } from '../../../../../test/support/views.ts'
import { StoreUnavailable } from '../failures.ts'
import { openSqliteStore } from './store.ts'

/** Each statement may wait 5 s for another process: six of them take 30 s, and a process has 18 s to end. */
const LIMIT_MS = 15_000

test('a store that is closed while another has its file does not wait for each batch in line', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-closing-'))
  t.after(() => rm(folder, { recursive: true }))
  const path = join(folder, 'views.db')
  const settings = { timeZone: 'UTC', windowHours: 24, uniqueBy: 'ip', bots: 'count' } as const
  const store = await openSqliteStore(`sqlite:${path}`, settings)
  await store.migrate()
  const time = '2026-03-10T12:00:00Z'
  await record(store, [view(time)])
  using other = new DatabaseSync(path)
  other.exec('BEGIN IMMEDIATE')
  const waiting = Array.from({ length: 6 }, () =>
    assert.rejects(record(store, [view(time)]), StoreUnavailable),
  )
  const ended = store.close().then(() => 'ended')
  const late = new AbortController()
  const first = await Promise.race([ended, sleep(LIMIT_MS, 'waits', { signal: late.signal })])
  late.abort()
  assert.equal(first, 'ended')
  await Promise.all(waiting)
})
