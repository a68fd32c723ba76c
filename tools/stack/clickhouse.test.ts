import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type ClickhouseCluster, startClickhouse, startClickhouseCluster } from './clickhouse.ts'
import { isFree } from './ports.ts'
import { hasEnded, listeningAddresses } from './proc.ts'

describe('a private ClickHouse cluster of two shards', () => {
  let cluster: ClickhouseCluster
  before(async () => {
    cluster = await startClickhouseCluster()
  })
  after(() => cluster.stop())

  test('answers, and listens on loopback alone', async () => {
    for (const { port, nativePort, pid, query } of cluster.shards) {
      assert.equal(await query('SELECT 1'), '1')
      assert.deepEqual(
        listeningAddresses(pid),
        [port, nativePort].sort().map(number => `127.0.0.1:${number}`),
      )
    }
  })

  test('shows the rows of both shards in a Distributed table, which spreads what is inserted', async () => {
    const database = await cluster.database()
    for (const { query } of cluster.shards) {
      await query(`CREATE TABLE ${database}.numbers (n UInt64) ENGINE = MergeTree ORDER BY n`)
      await query(`CREATE TABLE ${database}.all AS ${database}.numbers
        ENGINE = Distributed(postviews, ${database}, numbers, n)`)
    }
    const [one, two] = cluster.shards
    await one!.query(`INSERT INTO ${database}.all SETTINGS distributed_foreground_insert = 1
      SELECT number FROM numbers(1000)`)
    assert.equal(await one!.query(`SELECT count(), sum(n) FROM ${database}.numbers`), '500\t249500')
    assert.equal(await two!.query(`SELECT count(), sum(n) FROM ${database}.numbers`), '500\t250000')
    for (const { query } of cluster.shards) {
      assert.equal(await query(`SELECT count(), sum(n) FROM ${database}.all`), '1000\t499500')
    }
  })

  test('has what was acknowledged after a shard was killed, and the other finds it again', async () => {
    const database = await cluster.database()
    for (const { query } of cluster.shards) {
      await query(`CREATE TABLE ${database}.kept (n UInt64) ENGINE = MergeTree ORDER BY n
        SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`)
    }
    const [one, two] = cluster.shards
    await two!.query(`INSERT INTO ${database}.kept SELECT number FROM numbers(100)`)
    const both = `SELECT count(), sum(n) FROM cluster(postviews, ${database}, kept)`
    assert.equal(await one!.query(both), '100\t4950')
    const killed = two!.pid
    await two!.kill()
    assert.equal(hasEnded(killed), true)
    await assert.rejects(one!.query(both), /ALL_CONNECTION_TRIES_FAILED/)
    await two!.restart()
    assert.equal(await one!.query(both), '100\t4950')
  })
})

test('a private ClickHouse asks for the password of a user who has one, and lets him query both shards', async () => {
  const { shards, stop } = await startClickhouseCluster({ users: { writer: 'a<b&"c' } })
  try {
    const ask = async (key: string) => {
      const answer = await fetch(shards[0]!.httpUrl, {
        method: 'POST',
        headers: { 'x-clickhouse-user': 'writer', 'x-clickhouse-key': key },
        body: "SELECT count() FROM cluster(postviews, 'system.one')",
      })
      return answer.ok ? await answer.text() : answer.status
    }
    assert.equal(await ask('a<b&"c'), '2\n')
    assert.equal(await ask('wrong'), 403)
  } finally {
    await stop()
  }
})

test('a private ClickHouse starts again on its files, and leaves nothing running', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'postviews-clickhouse-kept-'))
  try {
    const first = await startClickhouse({ dir })
    await first.query('CREATE DATABASE kept')
    await first.query('CREATE TABLE kept.numbers (n UInt64) ENGINE = MergeTree ORDER BY n')
    await first.query('INSERT INTO kept.numbers VALUES (1), (2)')
    const { pid, port, nativePort } = first
    await first.stop()
    assert.deepEqual([hasEnded(pid), await isFree(port), await isFree(nativePort)], [true, true, true])

    const second = await startClickhouse({ dir })
    assert.equal(await second.query('SELECT sum(n) FROM kept.numbers'), '3')
    await second.stop()
  } finally {
    await rm(dir, { recursive: true })
  }
})

test('a private ClickHouse without a folder of its own removes its temporary one', async () => {
  const server = await startClickhouse()
  assert.equal(existsSync(server.dir), true)
  await server.stop()
  assert.equal(existsSync(server.dir), false)
})
