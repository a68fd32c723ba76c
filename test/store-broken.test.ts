/** The store refuses what no retry cures: a table, a function or a privilege is missing. */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { CONSUMED_QUEUES } from '@postviews/client/src/index.ts'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { openStore } from '../packages/analytics/src/store/open.ts'
import { atEnd } from './support/at-end.ts'
import { MYSQL, mysqlDatabase, SQLITE, type TestDatabase } from './support/engines.ts'
import { untilStored } from './support/invariants.ts'
import { createUser } from './support/mysql.ts'
import { plan } from './support/planned.ts'
import { onChannel } from './support/published.ts'
import { postviews } from './support/service.ts'
import { createSystem } from './support/system.ts'
import { until } from './support/until.ts'

const TRIED_SOON = ['--import', join(import.meta.dirname, 'support/tried-soon.ts')]
const VIEWS = 300
const COUNTING = { timeZone: 'UTC', windowHours: 24, uniqueBy: null, bots: 'count' } as const

interface Damage {
  what: string
  engine: { name: string; create(t: TestContext): Promise<TestDatabase> }
  /** The step that meets it. */
  step: string
  does(database: TestDatabase): Promise<unknown>
  mends(database: TestDatabase): Promise<unknown>
}

/** A database whose service has the privileges that the documentation asks for, table by table, and no others. */
const GUARDED = {
  name: MYSQL.name,
  async create(t: TestContext): Promise<TestDatabase> {
    const root = await MYSQL.create(t)
    const store = await openStore(root.url, COUNTING)
    await store.migrate()
    await store.close()
    const { hostname, port, pathname } = new URL(root.url)
    const name = pathname.slice(1)
    await createUser(root.query, `${name}@'${hostname}'`, "IDENTIFIED BY 'sekret'")
    const tables = await root.query(
      `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = '${name}'`,
    )
    for (const { name: table } of tables)
      await root.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${name}@'${hostname}'`)
    t.after(() => root.query(`DROP USER ${name}@'${hostname}'`))
    return { ...mysqlDatabase(`mysql://${name}:sekret@${hostname}:${port}/${name}`), query: root.query }
  },
}

const userOf = (database: TestDatabase) => new URL(database.url).username

const DAMAGES: Damage[] = [
  {
    what: 'a table is renamed',
    engine: SQLITE,
    step: 'INSERT INTO post_view_totals',
    does: ({ query }) => query('ALTER TABLE post_view_totals RENAME TO elsewhere'),
    mends: ({ query }) => query('ALTER TABLE elsewhere RENAME TO post_view_totals'),
  },
  {
    what: 'a trigger calls a function that is not there',
    engine: SQLITE,
    step: 'INSERT INTO post_view_rows',
    does: ({ query }) =>
      query(`CREATE TRIGGER users AFTER INSERT ON post_view_rows BEGIN SELECT no_such_function(NEW.id); END`),
    mends: ({ query }) => query('DROP TRIGGER users'),
  },
  {
    what: 'a table is renamed',
    engine: MYSQL,
    step: 'SELECT FROM post_views, post_view_visitors',
    does: ({ query }) => query('RENAME TABLE post_view_visitors TO elsewhere'),
    mends: ({ query }) => query('RENAME TABLE elsewhere TO post_view_visitors'),
  },
  {
    what: 'a trigger calls a function that is not there',
    engine: MYSQL,
    step: 'INSERT INTO post_views',
    does: ({ query }) =>
      query('CREATE TRIGGER users BEFORE INSERT ON post_views FOR EACH ROW SET @x = no_such_function()'),
    mends: ({ query }) => query('DROP TRIGGER users'),
  },
  {
    what: 'a privilege is revoked',
    engine: GUARDED,
    step: 'INSERT INTO post_view_breakdowns',
    does: database =>
      database.query(`REVOKE INSERT ON post_view_breakdowns FROM ${userOf(database)}@'127.0.0.1'`),
    mends: database =>
      database.query(`GRANT INSERT ON post_view_breakdowns TO ${userOf(database)}@'127.0.0.1'`),
  },
]

describe('what no retry cures', { concurrency: 2 }, () => {
  for (const { what, engine, step, does, mends } of DAMAGES) {
    test(`${engine.name}, ${what}: holds nothing, names the step, goes on by itself once it is mended`, async t => {
      const database = await engine.create(t)
      const system = await createSystem(t, { database })
      const { amqpUrl } = system.surroundings
      const service = await system.start({ nodeOptions: TRIED_SOON })
      await service.untilReady()
      await system.publish(plan({ views: VIEWS, seed: 1 }))
      await untilStored(database, VIEWS)

      await does(database)
      await system.publish(plan({ views: VIEWS, seed: 2 }))
      const problem = `{"status":"unavailable","problems":["store: ${step} fails, and no retry mends it"]}`
      await until('it names the step', async () => (await service.readiness()) === problem)
      await until(
        'nothing is in hand',
        async () => system.tap.inHand === 0 && (await consumers(amqpUrl)) === 0,
      )
      assert.equal(await service.metric('postviews_store_broken'), 1)
      assert.equal(await service.metric('postviews_ready{part="store"}'), 0)
      assert.equal(await service.metric('postviews_unacknowledged_messages'), 0)
      // However often it is tried: no delivery is spent on it, which would count against the limit of a queue that has one.
      const { delivered } = system.tap
      const tried = service.logged('store.broken').length
      await until('it was tried again', () => service.logged('store.broken').length >= tried + 3)
      assert.equal(system.tap.delivered, delivered)
      assert.equal(system.tap.refused, 0)
      assert.equal((await service.get('/livez')).status, 200)
      assert.equal((await service.get('/api/v1/views')).status, 200)
      for (const entry of service.logged('store.broken')) assert.equal(entry['step'], step)
      assert.deepEqual(service.logged('store.lost'), [])
      assert.deepEqual(service.logged('broker.lost'), [])

      // One that starts now ends by itself.
      const { code, output } = await postviews({ ...system.surroundings, settings: { PORT: '0' } }, 'consume')
      assert.equal(code, 1)
      const failed = output.split('\n').find(line => line.includes('"event":"service.failed"'))
      assert.match(JSON.parse(failed!).error, new RegExp(`, at ${step}$`))
      assert.doesNotMatch(output, /store\.lost|sekret/)

      await mends(database)
      await service.untilReady()
      assert.equal(await service.metric('postviews_store_broken'), 0)
      await system.check()
    })
  }
})

test(`${MYSQL.name}: what a batch of a connection that was lost meets does not shut out the next`, async t => {
  const database = await MYSQL.create(t)
  const system = await createSystem(t, { database })
  const service = await system.start({ nodeOptions: TRIED_SOON })
  await service.untilReady()
  const holder = await createConnection({ uri: database.url })
  atEnd(t, () => holder.end())
  await holder.query('LOCK TABLES post_views WRITE')
  const one = plan({ views: 1, twice: 0, bad: 0 })
  await system.publish(one)
  await until('its batch waits for the table', async () => {
    const [sessions] = await holder.query<RowDataPacket[]>(
      `SELECT id FROM information_schema.processlist WHERE state LIKE 'Waiting for table%' AND info LIKE '%INSERT INTO post_views%'`,
    )
    return sessions.length > 0
  })

  // The next connection gets nothing that would find out by itself.
  system.proxy.refuse()
  system.proxy.cut()
  await onChannel(system.surroundings.amqpUrl, async channel => {
    let purged = 0
    await until('the broker has it back', async () => {
      for (const queue of CONSUMED_QUEUES) purged += (await channel.purgeQueue(queue)).messageCount
      return purged === 1
    })
  })
  system.proxy.pass()
  await until('it consumes again', () => service.logged('broker.connected').length === 2)
  await holder.query('ALTER TABLE post_views RENAME TO elsewhere')
  await holder.query('UNLOCK TABLES')
  await until('nothing waits for the table', async () => {
    const [sessions] = await holder.query<RowDataPacket[]>(
      `SELECT id FROM information_schema.processlist WHERE info LIKE '%INSERT INTO post_views%' AND id <> CONNECTION_ID()`,
    )
    return sessions.length === 0
  })
  await holder.query('RENAME TABLE elsewhere TO post_views')
  assert.deepEqual(service.logged('store.broken'), [])
  await service.untilReady()
  assert.equal(await service.metric('postviews_store_broken'), 0)
  await system.publish(one)
  await system.check()
})

/** How many consumers the queues have. */
async function consumers(amqpUrl: string): Promise<number> {
  let count = 0
  await onChannel(amqpUrl, async channel => {
    for (const queue of CONSUMED_QUEUES) count += (await channel.checkQueue(queue)).consumerCount
  })
  return count
}
