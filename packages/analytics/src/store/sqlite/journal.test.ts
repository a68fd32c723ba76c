import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { markIn, prepareWriter, takeIntoUse } from './journal.ts'

/** Two connections to a new file. */
async function twoWriters(t: TestContext): Promise<[DatabaseSync, DatabaseSync]> {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-journal-'))
  const writers = [0, 1].map(() => new DatabaseSync(join(folder, 'views.db')))
  t.after(async () => {
    for (const writer of writers) writer.close()
    await rm(folder, { recursive: true })
  })
  for (const writer of writers) prepareWriter(writer)
  writers[0]!.exec('CREATE TABLE something (of TEXT)')
  return writers as [DatabaseSync, DatabaseSync]
}

test('a file that another process takes into use at the same moment is waited for', async t => {
  const [ours, other] = await twoWriters(t)
  // The other one has the file from just before ours asks for the log, until ours waits.
  const { prepare, exec } = ours
  let met = 0
  ours.prepare = sql => {
    if (sql.includes('= WAL') && met++ === 0) other.exec('BEGIN IMMEDIATE')
    return prepare.call(ours, sql)
  }
  ours.exec = sql => {
    if (other.isTransaction) {
      other.exec('COMMIT')
      takeIntoUse(other)
    }
    exec.call(ours, sql)
  }
  const mark = takeIntoUse(ours)
  assert.ok(met > 0)
  assert.equal(mark, markIn(other))
  assert.notEqual(mark, 0)
})
