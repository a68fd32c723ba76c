/**
 * What may happen to a database file. Other programs do what a person would do: a process that opens and closes a file which it
 * has open elsewhere releases SQLite's locks on it.
 */

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, type TestContext, test } from 'node:test'
import { assertVerified } from '../../../../../test/store-contract-database.ts'
import { POST, record, view } from '../../../../../test/support/views.ts'
import { StoreMisplaced, StoreRefused, StoreUnavailable } from '../failures.ts'
import type { Store } from '../store.ts'
import { openSqliteStore } from './store.ts'

const NOON = '2026-03-10T12:00:00Z'
const COUNTING = { timeZone: 'UTC', windowHours: 24, uniqueBy: 'ip', bots: 'count' } as const

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-file-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

async function opened(t: TestContext, path: string): Promise<Store> {
  const store = await openSqliteStore(`sqlite:${path}`, COUNTING)
  t.after(() => store.close())
  return store
}

/** A store on a new file, with `views` views in it. */
async function counting(t: TestContext, views: number) {
  const path = join(await folderOf(t), 'views.db')
  const store = await opened(t, path)
  await store.migrate()
  await count(store, views)
  return { path, store }
}

function count(store: Store, views: number) {
  return record(
    store,
    Array.from({ length: views }, () => view(NOON)),
  )
}

async function viewsIn(t: TestContext, path: string): Promise<number | null> {
  const store = await opened(t, path)
  await store.checkSettings()
  await assertVerified(store)
  const [total] = await store.postTotals([POST])
  await store.close()
  return total!.views
}

/** A copy as a person makes it: the file alone. */
function copied(path: string): string {
  const copy = `${path}.copy`
  execFileSync('cp', [path, copy])
  return copy
}

function backupOf(path: string): string {
  const backup = `${path}.backup`
  using database = new DatabaseSync(path)
  database.prepare('VACUUM INTO ?').run(backup)
  return backup
}

/** Writes the log into the file, as another process does. */
function writeBack(path: string): void {
  execFileSync(process.execPath, ['--input-type=module', '-e', WRITE_BACK, path])
}

const WRITE_BACK = `
  import { DatabaseSync } from 'node:sqlite'
  new DatabaseSync(process.argv[1]).exec('PRAGMA wal_checkpoint(TRUNCATE)')`

/** Copies the files as a killed process leaves them: its latest commits are only in the log. */
function killed(path: string): string {
  const remains = `${path}.killed`
  for (const suffix of ['', '-wal', '-shm']) execFileSync('cp', [path + suffix, remains + suffix])
  return remains
}

describe('the file after everybody has closed it', { concurrency: true }, () => {
  test('is everything: a copy of it alone has every view', async t => {
    const { path, store } = await counting(t, 7)
    assert.ok(statSync(`${path}-wal`).size > 0)
    await store.close()
    assert.equal(existsSync(`${path}-wal`), false)
    assert.equal(await viewsIn(t, copied(path)), 7)
  })

  test('is everything whichever process closes it last', async t => {
    const { path, store } = await counting(t, 7)
    const other = await opened(t, path)
    await other.siteTotals()
    await store.close()
    await count(other, 2)
    await other.close()
    assert.equal(existsSync(`${path}-wal`), false)
    assert.equal(await viewsIn(t, copied(path)), 9)
  })

  test('is everything though a shell has it open still', async t => {
    const { path, store } = await counting(t, 7)
    using shell = new DatabaseSync(path)
    shell.prepare('SELECT COUNT(*) FROM post_views').get()
    await store.close()
    assert.equal(statSync(`${path}-wal`).size, 0)
    assert.equal(await viewsIn(t, copied(path)), 7)
  })

  test('has what a process that was killed had left in the log', async t => {
    const { path } = await counting(t, 7)
    const remains = killed(path)
    assert.equal(await viewsIn(t, remains), 7)
    assert.equal(existsSync(`${remains}-wal`), false)
  })
})

describe('the log beside the file', () => {
  test('is cut back after a long read', async t => {
    const { path, store } = await counting(t, 1)
    const logBytes = () => statSync(`${path}-wal`).size
    let grown = 0
    await store.verify(
      () => {},
      step => {
        if (step !== 'rows' || grown > 0) return
        // Writes more than a checkpoint leaves, while verify holds a snapshot.
        execFileSync(process.execPath, ['--input-type=module', '-e', FILL, path])
        grown = logBytes()
      },
    )
    assert.ok(grown > 200_000_000, `the log has grown to ${grown} bytes`)
    assert.ok(logBytes() < 140_000_000, `${logBytes()} bytes are left`)
    await count(store, 1)
    const [total] = await store.postTotals([POST])
    assert.equal(total!.views, 2)
  })

  test('is cut before the next long read begins, so that many of them one after the other keep it no longer than one', async t => {
    const { path, store } = await counting(t, 1)
    const logBytes = () => statSync(`${path}-wal`).size
    const other = new DatabaseSync(path, { readOnly: true })
    other.exec('BEGIN')
    other.prepare('SELECT COUNT(*) FROM post_views').get()
    for (let times = 0; times < 2; times++)
      execFileSync(process.execPath, ['--input-type=module', '-e', FILL, path])
    assert.ok(logBytes() > 400_000_000, `the log has grown to ${logBytes()} bytes`)
    const ended = setTimeout(() => other.close(), 1_000)
    t.after(() => clearTimeout(ended))
    const found: number[] = []
    await store.verify(
      () => {},
      () => found.push(logBytes()),
    )
    assert.ok(found.length > 0 && found.every(bytes => bytes < 140_000_000), `${found[0]} bytes`)
  })
})

/** Fills the log with 240 MB, as a consumer would. */
const FILL = `
  import { DatabaseSync } from 'node:sqlite'
  const database = new DatabaseSync(process.argv[1], { timeout: 5000 })
  database.exec('PRAGMA synchronous = OFF; CREATE TABLE IF NOT EXISTS filler (bytes BLOB)')
  for (let batch = 0; batch < 24; batch++) database.exec('INSERT INTO filler VALUES (zeroblob(10000000))')`

describe('a file that is in use and', { concurrency: true }, () => {
  for (const [what, misplace] of [
    ['was deleted', (path: string) => unlinkSync(path)],
    ['was moved away', (path: string) => renameSync(path, `${path}.moved`)],
    ['was replaced by a backup', (path: string) => renameSync(backupOf(path), path)],
    ['was written over', (path: string) => execFileSync('cp', [`${path}.other`, path])],
    ['lost its log', (path: string) => unlinkSync(`${path}-wal`)],
    ['lost the index of its log', (path: string) => unlinkSync(`${path}-shm`)],
    ['has the log of another', (path: string) => renameSync(`${path}.other`, `${path}-wal`)],
  ] as [string, (path: string) => void][]) {
    test(`${what} takes nothing and answers nothing`, async t => {
      const { path, store } = await counting(t, 7)
      execFileSync('cp', [backupOf(path), `${path}.other`])
      rmSync(`${path}.backup`)
      misplace(path)
      await assert.rejects(count(store, 1), StoreMisplaced)
      await assert.rejects(store.ping(), StoreMisplaced)
      await assert.rejects(store.postTotals([POST]), StoreMisplaced)
      await assert.rejects(
        store.verify(() => {}),
        StoreMisplaced,
      )
      await assert.rejects(store.migrate(), StoreUnavailable)
    })
  }

  test('was replaced before anything was read from it answers nothing', async t => {
    const { path, store } = await counting(t, 7)
    await store.close()
    const next = await opened(t, path)
    // Uses only the connection that writes.
    await next.ping()
    renameSync(backupOf(path), path)
    await assert.rejects(next.postTotals([POST]), StoreMisplaced)
  })

  test('was moved away is used on when the same file is back', async t => {
    const { path, store } = await counting(t, 7)
    renameSync(path, `${path}.moved`)
    await assert.rejects(count(store, 1), StoreMisplaced)
    assert.equal(existsSync(path), false)
    renameSync(`${path}.moved`, path)
    await count(store, 1)
    await store.close()
    assert.equal(await viewsIn(t, copied(path)), 8)
  })

  test('lost its log is whole again once its process has ended in the orderly way', async t => {
    const { path, store } = await counting(t, 7)
    unlinkSync(`${path}-wal`)
    await assert.rejects(count(store, 1), StoreMisplaced)
    await store.close()
    assert.equal(await viewsIn(t, copied(path)), 7)
  })

  for (const [what, replace] of [
    ['replaced', (from: string, to: string) => renameSync(from, to)],
    ['written over', (from: string, to: string) => execFileSync('cp', [from, to])],
  ] as [string, (from: string, to: string) => void][]) {
    test(`was ${what} leaves the other file as it is, which is refused until the old log is gone`, async t => {
      const { path, store } = await counting(t, 7)
      const backup = backupOf(path)
      const bytes = readFileSync(backup)
      await count(store, 5)
      replace(backup, path)
      await assert.rejects(count(store, 1), StoreMisplaced)
      await store.close()
      assert.ok(readFileSync(path).equals(bytes), 'nothing was written into it')
      assert.ok(statSync(`${path}-wal`).size > 0, 'what is in the log is kept')

      const next = await opened(t, path)
      await assert.rejects(next.checkSettings(), /views.db-wal belongs to another file/)
      await assert.rejects(next.migrate(), StoreRefused)
      assert.ok(readFileSync(path).equals(bytes), 'nothing was written into it')
      for (const suffix of ['-wal', '-shm']) rmSync(path + suffix)
      assert.equal(await viewsIn(t, path), 7)
    })
  }

  test('is opened by a link has its log beside the file itself', async t => {
    const { path, store } = await counting(t, 7)
    await store.close()
    symlinkSync(path, `${path}.link`)
    const linked = await opened(t, `${path}.link`)
    await count(linked, 1)
    const other = await opened(t, `${path}.link`)
    await other.checkSettings()
    assert.deepEqual(other.warnings(), [])
    await other.close()
    unlinkSync(`${path}-wal`)
    await assert.rejects(count(linked, 1), StoreMisplaced)
    await linked.close()
    assert.equal(await viewsIn(t, path), 8)
  })

  test('was written over by an older copy of itself takes nothing, and is refused until the old log is gone', async t => {
    const { path, store } = await counting(t, 7)
    writeBack(path)
    const older = copied(path)
    const bytes = readFileSync(older)
    for (let times = 0; times < 3; times++) {
      await count(store, 200)
      writeBack(path)
    }
    await count(store, 1)
    // The connection that reads is used too, and has noticed the write-backs by then.
    await store.postTotals([POST])
    execFileSync('cp', [older, path])
    await assert.rejects(count(store, 1), StoreMisplaced)
    await assert.rejects(store.postTotals([POST]), StoreMisplaced)
    await store.close()
    assert.ok(readFileSync(path).equals(bytes), 'nothing was written into it')

    const next = await opened(t, path)
    await assert.rejects(next.checkSettings(), /views.db-wal belongs to another file/)
    for (const suffix of ['-wal', '-shm']) rmSync(path + suffix)
    assert.equal(await viewsIn(t, path), 7)
  })

  test('is checked through checkpoints, which write into it as well', async t => {
    const { path, store } = await counting(t, 7)
    for (let times = 0; times < 3; times++) {
      using other = new DatabaseSync(path)
      other.exec('PRAGMA wal_checkpoint(TRUNCATE)')
      await count(store, 1)
    }
    await store.close()
    assert.equal(await viewsIn(t, path), 10)
  })
})

describe('a file that is not ours, or not whole,', { concurrency: true }, () => {
  test('is refused where it lost its tables with its log, and left as it is', async t => {
    const path = join(await folderOf(t), 'views.db')
    // As earlier versions made it: all but the first page was in the log.
    const before = new DatabaseSync(path)
    before.exec('PRAGMA page_size = 8192; PRAGMA journal_mode = WAL')
    before.close()
    await assertRefused(t, path, /is no new file, and has no table of ours/)
  })

  test('is refused where it is of another program, and left as it is', async t => {
    const path = join(await folderOf(t), 'views.db')
    using other = new DatabaseSync(path)
    other.exec('CREATE TABLE theirs (id INTEGER)')
    other.close()
    await assertRefused(t, path, /is no new file, and has no table of ours/)
    assert.ok(statSync(path).size > 0)
  })

  test('is not made anew where only its log is left', async t => {
    const { path } = await counting(t, 7)
    const remains = killed(path)
    unlinkSync(remains)
    const store = await opened(t, remains)
    await assert.rejects(store.migrate(), /is not there, but .*-wal is, with the latest views in it/)
    assert.equal(existsSync(remains), false)
    assert.ok(statSync(`${remains}-wal`).size > 0)
  })

  test('is warned of where it was copied without the log of a process that was killed', async t => {
    const { path } = await counting(t, 7)
    const store = await opened(t, copied(path))
    await store.migrate()
    assert.match(store.warnings().join(), /was in use when it was last written, and there is no .*-wal/)
  })

  test('is made by a migration alone', async t => {
    const path = join(await folderOf(t), 'folder', 'views.db')
    const store = await opened(t, path)
    await assert.rejects(store.checkSettings(), new RegExp(`there is no database at ${path}`))
    await assert.rejects(store.ping(), StoreUnavailable)
    await assert.rejects(
      store.verify(() => {}),
      new RegExp(path),
    )
    assert.equal(existsSync(join(path, '..')), false)
    await store.migrate()
    await store.checkSettings()
  })

  test('is taken for new where it is empty', async t => {
    const path = join(await folderOf(t), 'views.db')
    execFileSync('touch', [path])
    const store = await opened(t, path)
    await assert.rejects(store.checkSettings(), /is empty: run `postviews migrate`/)
    // As a probe does while the service starts.
    const probed = assert.rejects(store.ping(), StoreUnavailable)
    await store.migrate()
    await probed
    await count(store, 1)
  })

  async function assertRefused(t: TestContext, path: string, why: RegExp): Promise<void> {
    const bytes = readFileSync(path)
    const store = await opened(t, path)
    for (const use of [() => store.migrate(), () => store.checkSettings()]) {
      await assert.rejects(use(), error => error instanceof StoreRefused && why.test(error.message))
    }
    await store.close()
    assert.ok(readFileSync(path).equals(bytes))
    assert.equal(existsSync(`${path}-wal`), false)
  }
})

describe('who may read the file', () => {
  test('is its owner alone, of its folder and of the log too', async t => {
    const umask = process.umask(0)
    t.after(() => process.umask(umask))
    const path = join(await folderOf(t), 'made', 'views.db')
    const store = await opened(t, path)
    await store.migrate()
    await count(store, 1)
    assert.equal(statSync(join(path, '..')).mode & 0o777, 0o700)
    for (const suffix of ['', '-wal', '-shm'])
      assert.equal(statSync(path + suffix).mode & 0o777, 0o600, suffix)
    assert.deepEqual(store.warnings(), [])
  })

  test('stays as somebody has set it, with a warning where that is everybody', async t => {
    const { path, store } = await counting(t, 1)
    await store.close()
    chmodSync(join(path, '..'), 0o755)
    for (const [mode, warnings] of [
      [0o640, 0],
      [0o644, 1],
    ] as const) {
      chmodSync(path, mode)
      const next = await opened(t, path)
      await next.checkSettings()
      assert.equal(statSync(path).mode & 0o777, mode)
      const warned = next.warnings().filter(warning => warning.includes(`${path} holds personal data`))
      assert.equal(warned.length, warnings)
      await next.close()
    }
  })
})
