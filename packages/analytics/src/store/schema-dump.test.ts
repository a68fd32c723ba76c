import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { dumpSchema } from './schema-dump.ts'
import { openSqliteStore } from './sqlite/store.ts'

// MySQL's is compared in test/mysql.test.ts: it needs a server.
test('the committed schema of SQLite is what its migrations make', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-schema-'))
  t.after(() => rm(folder, { recursive: true }))
  const url = `sqlite:${join(folder, 'views.db')}`
  const store = await openSqliteStore(url, {
    timeZone: 'UTC',
    windowHours: 24,
    uniqueBy: 'ip',
    bots: 'count',
  })
  await store.migrate()
  await store.close()
  assert.equal(await dumpSchema(url), await readFile(new URL('./sqlite/schema.sql', import.meta.url), 'utf8'))
})
