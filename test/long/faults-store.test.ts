/** The store is away, full or slow: faults 4, 11 and 12. */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { atEnd } from '../support/at-end.ts'
import { ownMysql, SQLITE, sqliteDatabase } from '../support/engines.ts'
import { untilStored } from '../support/invariants.ts'
import { plan } from '../support/planned.ts'
import { onChannel } from '../support/published.ts'
import { DUPLICATES, type Service, UNACKNOWLEDGED } from '../support/service.ts'
import { smallDisk } from '../support/small-disk.ts'
import { createSystem, type TestSystem } from '../support/system.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

const VIEWS = 4_000
/** Each question to a slow store, and each answer, takes so much longer. */
const SLOWNESS_MS = process.env['FULL'] === '1' ? 250 : 50
const OUTAGE_MS = process.env['FULL'] === '1' ? 60_000 : 15_000
/** What the service may take more while it waits: less than the events it would hold if it took them all. */
const MEMORY_BYTES = 64 * 1_048_576

interface Outage {
  begin(service: Service): Promise<void>
  end(service: Service): Promise<void>
}

describe('when the store is away', { concurrency: true }, () => {
  test('because another process has locked the file: waits, says so, and goes on by itself', async t => {
    const database = await SQLITE.create(t)
    const system = await createSystem(t, { database })
    let holder: DatabaseSync | undefined
    await survives(system, {
      async begin() {
        holder = new DatabaseSync(database.url.slice('sqlite:'.length))
        holder.exec('BEGIN IMMEDIATE')
      },
      end: async () => holder?.close(),
    })
  })

  test('and a queue is made anew meanwhile: the store is away, and not the broker', async t => {
    const database = await SQLITE.create(t)
    const system = await createSystem(t, { database })
    const service = await system.start()
    await service.untilReady()
    const holder = new DatabaseSync(database.url.slice('sqlite:'.length))
    holder.exec('BEGIN IMMEDIATE')
    await onChannel(system.surroundings.amqpUrl, async channel => {
      await channel.deleteQueue('post.viewed')
      await channel.assertQueue('post.viewed', { durable: true })
    })
    await until('it waits for the store', () => service.logged('store.lost').length > 0)
    await until('it asks the broker', async () => (await service.metric('postviews_broker_up')) === 1)
    assert.match(await service.readiness(), /store: /)
    holder.close()
    await service.untilReady()
    await system.publish(plan({ views: 100 }))
    await system.check()
  })

  test('and it is told to end: ends in time, and leaves what is in hand to the next', async t => {
    const database = await SQLITE.create(t)
    const system = await createSystem(t, { database })
    const service = await system.start()
    await service.untilReady()
    const holder = new DatabaseSync(database.url.slice('sqlite:'.length))
    holder.exec('BEGIN IMMEDIATE')
    await system.publish(plan({ views: VIEWS, twice: 0 }))
    await until('it holds deliveries', () => system.tap.inHand > 0)
    assert.equal((await service.end('SIGTERM')).code, 0)
    holder.close()
    const next = await system.start()
    await untilStored(database, VIEWS)
    assert.equal(await next.metric(DUPLICATES), 0)
    await system.check()
  })

  test('with all there is in hand: its queues are empty, and it does not say that all is counted', async t => {
    const database = await SQLITE.create(t)
    const system = await createSystem(t, { database })
    const service = await system.start()
    const few = plan({ views: 20, twice: 0, seed: 1 })
    await system.publish(few)
    await untilStored(database, 20)
    await until('all is acknowledged', async () => (await service.metric(UNACKNOWLEDGED)) === 0)
    const holder = new DatabaseSync(database.url.slice('sqlite:'.length))
    holder.exec('BEGIN IMMEDIATE')
    await system.publish(plan({ views: 20, twice: 0, seed: 2 }))
    const status = async () => JSON.parse((await service.get('/api/v1/status')).text)
    await until('it is behind', async () => {
      const { queued, lag_seconds } = await status()
      return queued === 0 && lag_seconds > 0
    })
    assert.ok(system.tap.inHand > 0)
    assert.equal(await service.metric(UNACKNOWLEDGED), system.tap.inHand)
    assert.equal(await service.metric('postviews_ready{part="store"}'), 0)
    // Nothing of what the store says of itself, a path perhaps.
    assert.equal(
      await service.readiness(),
      '{"status":"unavailable","problems":["store: does not take views"]}',
    )
    holder.close()
    await until('it is through', async () => (await status()).lag_seconds === 0)
    await until('all is acknowledged', async () => (await service.metric(UNACKNOWLEDGED)) === 0)
    await system.check()
  })

  test('because the disk is full: waits, says so, and goes on by itself', async t => {
    const disk = await smallDisk(t, 96)
    const system = await createSystem(t, { database: sqliteDatabase(join(disk.folder, 'views.db')) })
    await survives(system, {
      begin: ({ pid }) => disk.fill(pid),
      end: ({ pid }) => disk.free(pid),
    })
  })

  test('because its server was killed: waits, says so, and goes on by itself', async t => {
    const { server, database } = await ownMysql(t)
    await server.kill()
    const system = await createSystem(t, { database })
    const service = await system.start()
    await until('it says so from the start', async () => /\bstore: /.test(await service.readiness()))
    await server.restart()
    await service.untilReady()
    await service.end('SIGTERM')
    await survives(system, {
      begin: () => server.kill(),
      end: () => server.restart(),
    })
  })

  test('because its server hangs: waits, says so, and goes on by itself', async t => {
    const { server, database } = await ownMysql(t)
    await survives(await createSystem(t, { database }), {
      begin: async () => server.pause(),
      end: async () => server.resume(),
    })
  })

  test("because its server's disk is full: waits, says so, and goes on by itself", async t => {
    const disk = await smallDisk(t, 256)
    // MySQL has no such setting any more, and makes its log as it needs it.
    const args = ['--loose-innodb-log-file-size=16M', '--innodb-temp-data-file-path=ibtmp1:12M:autoextend']
    const { server, database } = await ownMysql(t, { dir: disk.folder, args })
    await survives(await createSystem(t, { database }), {
      begin: () => disk.fill(server.pid),
      // InnoDB does not survive it: whoever makes room starts the server again.
      end: async () => {
        await disk.free()
        await server.restart()
      },
    })
  })

  test('because it is slow: slows down with it, in bounded memory', async t => {
    const { server, database } = await ownMysql(t)
    const proxy = await startTcpProxy(server.port)
    atEnd(t, () => proxy.close())
    const system = await createSystem(t, { database })
    const service = await system.start({ databaseUrl: proxy.through(database.url) })
    await service.untilReady()
    const before = service.residentBytes()
    proxy.delay(SLOWNESS_MS)
    await system.publish(plan({ views: VIEWS }))
    await untilStored(database, VIEWS, 120_000)
    assert.equal(await service.readiness(), 'ready')
    const grown = service.residentBytes() - before
    assert.ok(grown < MEMORY_BYTES, `grew by ${grown} bytes`)
    assert.equal(system.tap.refused, 0)
    await system.check()
  })
})

async function survives(system: TestSystem, outage: Outage): Promise<void> {
  const { database, tap } = system
  const service = await system.start()
  await system.publish(plan({ views: VIEWS, seed: 1 }))
  await untilStored(database, VIEWS)
  const before = service.residentBytes()

  await outage.begin(service)
  const ends = sleep(OUTAGE_MS)
  await system.publish(plan({ views: VIEWS, seed: 2 }))
  await until('it says that the store is away', async () => /\bstore: /.test(await service.readiness()))
  const { delivered, redelivered } = tap
  await ends
  assert.match(await service.readiness(), /\bstore: /)
  assert.deepEqual([tap.delivered, tap.redelivered], [delivered, redelivered], 'it holds what it has')
  assert.equal(tap.refused, 0)
  const grown = service.residentBytes() - before
  assert.ok(grown < MEMORY_BYTES, `grew by ${grown} bytes`)

  await outage.end(service)
  await service.untilReady()
  await system.check()
}
