/** What the errors of each engine mean. The consumer relies on it: it retries, makes a dead letter, or stops. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ClickHouseError } from '@clickhouse/client'
import pg from 'pg'
import { storeError as clickhouseError } from './clickhouse/errors.ts'
import { RowRejected, StoreBroken, StoreUnavailable, storeProblem } from './failures.ts'
import { HeldByForeignKey, storeError as mysqlError, NotAllowed, Overtaken } from './mysql/errors.ts'
import { Overtaken as OvertakenOnPostgres, storeError as postgresError } from './postgres/errors.ts'
import { fileError, storeError as sqliteError } from './sqlite/errors.ts'

const SQL = "INSERT INTO post_view_totals VALUES ('sekret')"
const STEP = 'INSERT INTO post_view_totals'

/** What each code is, and the error it becomes. */
type Cases = readonly (readonly [code: number, meaning: string, becomes: new (...args: never[]) => Error])[]

function assertBecomes(error: Error, becomes: Cases[number][2], meaning: string): void {
  assert.equal(error.constructor, becomes, `${meaning}: ${error.name}`)
  assert.doesNotMatch(error.message, /sekret/)
  assert.ok(error.message.endsWith(`, at ${STEP}`), error.message)
  if (!(error instanceof StoreBroken)) return
  assert.equal(error.step, STEP)
  assert.equal(storeProblem(error), `store: ${STEP} fails, and no retry mends it`)
}

describe('an error is one that a retry may cure, one of a row, or one that somebody has to mend', () => {
  test('of MySQL and MariaDB, by its number', () => {
    const cases: Cases = [
      [1146, 'no such table', StoreBroken],
      [1054, 'no such column', StoreBroken],
      [1305, 'no such function', StoreBroken],
      [1064, 'syntax', StoreBroken],
      [1142, 'no privilege on the table', NotAllowed],
      [1832, 'a foreign key holds the column', HeldByForeignKey],
      [1045, 'wrong password', StoreBroken],
      [1130, 'no user may come from this host', StoreBroken],
      [1932, "the table's file is gone", StoreBroken],
      [1644, 'SIGNAL in a trigger', StoreBroken],
      [1213, 'deadlock', Overtaken],
      [1205, 'lock wait', Overtaken],
      [1290, 'read-only for now, in a failover', StoreUnavailable],
      [1836, 'read-only for now', StoreUnavailable],
      [1021, 'disk full', StoreUnavailable],
      [1040, 'too many connections', StoreUnavailable],
      [1053, 'shutdown', StoreUnavailable],
      [1927, 'killed', StoreUnavailable],
      [9999, 'unknown to us', StoreUnavailable],
      [1366, 'a value', RowRejected],
      [1406, 'too long', RowRejected],
    ]
    for (const [errno, meaning, becomes] of cases) {
      const asked = { server: '127.0.0.1:3306', database: 'views', sql: SQL }
      const error = Object.assign(new Error('sekret'), { code: 'ER_X', errno, sqlMessage: "'sekret'" })
      const became = mysqlError(error, asked)
      assertBecomes(became, becomes, meaning)
      assert.match(became.message, /^MySQL at 127\.0\.0\.1:3306: ER_X \(\d+\)/)
    }
  })

  test('of the way to MySQL: names host and port, and the database that is not there', () => {
    const asked = { server: 'db.example:3307', database: 'views', sql: null }
    const refused = mysqlError(Object.assign(new Error('sekret'), { code: 'ECONNREFUSED' }), asked)
    assert.deepEqual(
      [refused.constructor, refused.message],
      [StoreUnavailable, 'MySQL at db.example:3307: ECONNREFUSED, at signing in'],
    )
    const none = { code: 'ER_BAD_DB_ERROR', errno: 1049, sqlMessage: "Unknown database 'sekret'" }
    const missing = mysqlError(Object.assign(new Error('sekret'), none), asked)
    assert.equal(missing.constructor, StoreBroken)
    assert.equal(
      missing.message,
      'MySQL at db.example:3307: there is no database views (1049): create it, then run `postviews migrate`, at signing in',
    )
  })

  test('of PostgreSQL, by its code', () => {
    for (const [code, meaning, becomes] of [
      ['42P01', 'no such table', StoreBroken],
      ['42501', 'no privilege', StoreBroken],
      ['28P01', 'wrong password', StoreBroken],
      ['3D000', 'no such database', StoreBroken],
      ['40P01', 'deadlock', OvertakenOnPostgres],
      ['40001', 'serialization', OvertakenOnPostgres],
      ['22003', 'out of range', RowRejected],
      ['23514', 'a check of the users', RowRejected],
      ['P0001', 'a trigger of the users says no', RowRejected],
      ['25006', 'read-only for now', StoreUnavailable],
      ['53300', 'too many connections', StoreUnavailable],
      ['57P01', 'shutdown', StoreUnavailable],
      ['57014', 'cancelled, or too late', StoreUnavailable],
      ['ECONNREFUSED', 'nobody listens', StoreUnavailable],
      ['EPIPE', 'the other side has closed', StoreUnavailable],
    ] as const) {
      const isSaid = /^\w{5}$/.test(code) && code !== 'EPIPE'
      const error = isSaid ? new pg.DatabaseError('sekret', 6, 'error') : new Error('sekret')
      Object.assign(error, { code, detail: 'sekret' })
      const became = postgresError(error, { server: '127.0.0.1:5432', sql: SQL })
      assertBecomes(became, becomes, meaning)
      assert.ok(became.message.startsWith(`PostgreSQL at 127.0.0.1:5432: ${code}, at `), became.message)
    }
  })

  test('of SQLite, by its extended code', () => {
    const cases: Cases = [
      [1, 'no such table, column or function, or syntax', StoreBroken],
      [8, 'read-only', StoreBroken],
      [11, 'corrupt', StoreBroken],
      [26, 'no database', StoreBroken],
      [5, 'busy', StoreUnavailable],
      [6, 'locked', StoreUnavailable],
      [13, 'disk full', StoreUnavailable],
      [10, 'an I/O error', StoreUnavailable],
      [17, 'the schema was changed', StoreUnavailable],
      [513, 'ERROR_RETRY', StoreUnavailable],
      [264, 'READONLY_RECOVERY: another process has to read the log first', StoreUnavailable],
      [2067, 'CONSTRAINT_UNIQUE', RowRejected],
      [18, 'too big', RowRejected],
    ]
    for (const [code, meaning, becomes] of cases) {
      const failure = { name: 'Error', message: 'told', code, step: STEP }
      assertBecomes(sqliteError(failure, '/data/views.db'), becomes, meaning)
    }
    const busy = sqliteError(
      { name: 'Error', message: 'database is locked', code: 5, step: STEP },
      '/data/views.db',
    )
    assert.equal(busy.message, `SQLite at /data/views.db: database is locked, at ${STEP}`)
  })

  test('of the file system under it', () => {
    for (const [code, becomes] of [
      ['EACCES', StoreBroken],
      ['EROFS', StoreBroken],
      ['ENOTDIR', StoreBroken],
      ['ENOSPC', StoreUnavailable],
      ['EMFILE', StoreUnavailable],
      ['EIO', StoreUnavailable],
    ] as const) {
      const error = fileError('/data/views.db', 'opened', Object.assign(new Error('told'), { code }))
      assert.equal(error.constructor, becomes, code)
    }
  })

  test('of ClickHouse, by its code', () => {
    for (const [code, becomes] of [
      [60, true],
      [81, true],
      [62, true],
      [46, true],
      [497, true],
      [516, true],
      [164, true],
      [242, false], // TABLE_IS_READ_ONLY: a replica without its keeper
      [252, false], // TOO_MANY_PARTS
      [241, false], // MEMORY_LIMIT_EXCEEDED
      [999, false], // KEEPER_EXCEPTION
    ] as const) {
      const asked = { server: '127.0.0.1:8123', database: 'views', sql: SQL }
      const error = new ClickHouseError({ message: 'sekret', code: String(code), type: 'X' })
      const became = clickhouseError(error, asked)
      assert.equal(became instanceof StoreBroken, becomes, String(code))
      assert.ok(became instanceof StoreUnavailable)
      assert.match(
        became.message,
        /^ClickHouse at 127\.0\.0\.1:8123: X \(\d+\).*, at INSERT INTO post_view_totals$/,
      )
      assert.doesNotMatch(became.message, /sekret/)
    }
    const asked = { server: '127.0.0.1:8123', database: 'views', sql: SQL, ofViews: true }
    const value = new ClickHouseError({ message: 'sekret', code: '53', type: 'TYPE_MISMATCH' })
    assert.equal(clickhouseError(value, asked).constructor, RowRejected)
    const away = clickhouseError(Object.assign(new Error('sekret'), { code: 'ECONNREFUSED' }), asked)
    assert.equal(away.message, `ClickHouse at 127.0.0.1:8123: ECONNREFUSED, at ${STEP}`)
  })
})
