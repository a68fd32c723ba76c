import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { type Mysql, startMysql } from './mysql.ts'
import { isFree } from './ports.ts'
import { hasEnded, listeningAddresses } from './proc.ts'

describe('a private MariaDB', () => {
  let server: Mysql
  let neighbour: Mysql
  before(async () => {
    ;[server, neighbour] = await Promise.all([
      startMysql(),
      startMysql({ args: ['--innodb-buffer-pool-size=32M'] }),
    ])
  })
  after(async () => {
    await Promise.all([server.stop(), neighbour.stop()])
  })

  test('listens on loopback alone', () => {
    assert.deepEqual(listeningAddresses(server.pid), [`127.0.0.1:${server.port}`])
  })

  test('makes databases in the character set that is asked for, utf8mb4 if none is', async () => {
    const variable = 'SELECT @@character_set_database AS value'
    const usual = await server.database()
    const old = await server.database(undefined, { characterSet: 'latin1' })
    assert.deepEqual(await query(usual.url, variable), [{ value: 'utf8mb4' }])
    assert.deepEqual(await query(old.url, variable), [{ value: 'latin1' }])
    await old.drop()
    await assert.rejects(query(old.url, variable), /Unknown database/)
  })

  test('shares nothing with another that runs beside it, which has the settings it was given', async () => {
    await server.database('only_here')
    assert.deepEqual(await query(neighbour.url, "SHOW DATABASES LIKE 'only_here'"), [])
    assert.deepEqual(await query(neighbour.url, 'SELECT @@innodb_buffer_pool_size AS bytes'), [
      { bytes: 32 * 1024 * 1024 },
    ])
  })

  test('has what was committed after being killed', async () => {
    const { url } = await server.database()
    await query(url, 'CREATE TABLE kept SELECT 1 AS n')
    const killed = server.pid
    await server.kill()
    assert.equal(hasEnded(killed), true)
    await server.restart()
    assert.deepEqual(await query(url, 'SELECT n FROM kept'), [{ n: 1 }])
  })

  test('does not answer while it is paused, and does afterwards', async () => {
    server.pause()
    let answered = false
    const answer = query(server.url, 'SELECT 1 AS n').then(rows => {
      answered = true
      return rows
    })
    // A server that is not paused would answer within this time.
    await query(neighbour.url, 'SELECT SLEEP(0.3)')
    assert.equal(answered, false)
    server.resume()
    assert.deepEqual(await answer, [{ n: 1 }])
  })

  test('starts again on its files after a stop that keeps them; leaves nothing after one that does not', async () => {
    const { dir, port, pid } = neighbour
    await neighbour.database('kept')
    await neighbour.stop({ keep: true })
    assert.deepEqual([hasEnded(pid), existsSync(dir)], [true, true])
    await neighbour.restart()
    assert.equal((await query(neighbour.url, "SHOW DATABASES LIKE 'kept'")).length, 1)
    const again = neighbour.pid
    await neighbour.stop()
    assert.deepEqual([hasEnded(again), existsSync(dir), await isFree(port)], [true, false, true])
  })
})

async function query(url: string, sql: string): Promise<RowDataPacket[]> {
  const connection = await createConnection({ uri: url })
  try {
    const [rows] = await connection.query<RowDataPacket[]>(sql)
    return rows
  } finally {
    await connection.end()
  }
}
