/** SIGTERM and SIGINT, whatever a process is at: fault 28. Everything ends within 20 s, and the next start goes on. */

import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { CONSUMED_QUEUES, DEAD_QUEUE, VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { migrationLock } from '../../packages/analytics/src/store/mysql/migrate.ts'
import { testMysql, testRabbitmq } from '../../tools/stack/for-tests.ts'
import { holdFreePort } from '../../tools/stack/ports.ts'
import { oldConsumer } from '../support/article-tables.ts'
import { atEnd } from '../support/at-end.ts'
import { MYSQL, mysqlDatabase, SQLITE, type TestDatabase, type TestEngine } from '../support/engines.ts'
import { countRows, untilStored } from '../support/invariants.ts'
import { numbersTo, otherSession } from '../support/mysql.ts'
import { plan } from '../support/planned.ts'
import { type Program, postviewsUnread, silentServer, startProgram } from '../support/program.ts'
import { messageCount, onChannel } from '../support/published.ts'
import { API_KEY, postviews } from '../support/service.ts'
import { createSystem, declareQueues } from '../support/system.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

const SOON = ['--import', join(import.meta.dirname, '../support/retention-soon.ts')]
/** A process may take its time to start beside others; to end it has 20 s. */
const START_MS = 60_000
const INTERRUPTED = 'postviews: interrupted: run it again to continue\n'
const STOPPING = '{"status":"unavailable","problems":["service: stopping"]}'

/** Rows that retention removes, each slowly, so that a run takes long however it goes about it. */
const OLD_ROWS = 20_000
const ADD_OLD_ROWS: Record<TestEngine['kind'], string[]> = {
  sqlite: [
    `INSERT INTO post_views (post_uuid, viewed_at, received_at, day, slice, logged_in, bot, visitor)
     WITH RECURSIVE seq(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < ${OLD_ROWS})
     SELECT 'old', unixepoch() - 200 * 86400, unixepoch() - 200 * 86400, date('now', '-200 days'), 0, 0, 0, zeroblob(16) FROM seq`,
    `CREATE TRIGGER slow BEFORE DELETE ON post_view_rows BEGIN
       SELECT count(*) FROM (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 2000) SELECT x FROM c);
     END`,
  ],
  mysql: [
    `INSERT INTO post_views (post_uuid, viewed_at, received_at, day, slice, logged_in, bot, visitor)
     SELECT 'old', NOW() - INTERVAL 200 DAY, NOW() - INTERVAL 200 DAY, CURDATE() - INTERVAL 200 DAY, 0, 0, 0, REPEAT('\\0', 16)
     FROM ${numbersTo(OLD_ROWS)}`,
    'CREATE TRIGGER slow BEFORE DELETE ON post_views FOR EACH ROW DO SLEEP(0.0003)',
  ],
}

async function oldRows(database: TestDatabase): Promise<number> {
  const [row] = await database.query("SELECT COUNT(*) AS count FROM post_views WHERE post_uuid = 'old'")
  return Number(row!['count'])
}

/** Clients of an HTTP server that hold it up: one that says nothing, one that never ends its request. */
async function slowClients(t: TestContext, url: string): Promise<void> {
  for (const said of [
    '',
    'GET /livez HTTP/1.1\r\nHost: x\r\n',
    `POST /sign-in HTTP/1.1\r\nHost: x\r\n${FORM}\r\n\r\nper`,
  ]) {
    const socket: Socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.on('error', () => {})
    atEnd(t, () => socket.destroy())
    await new Promise<void>(resolve => socket.write(said, () => resolve()))
  }
}

const FORM = 'Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100'

describe('a signal ends', { concurrency: 4 }, () => {
  for (const engine of [SQLITE, MYSQL]) {
    test(`serve on ${engine.name} while retention runs: consuming first, the run at its next step; the next start goes on`, async t => {
      const database = await engine.create(t)
      const system = await createSystem(t, { database })
      const first = await system.start()
      await first.untilReady(START_MS)
      assert.equal((await first.end('SIGTERM')).code, 0)
      for (const sql of ADD_OLD_ROWS[engine.kind]) await database.query(sql)

      const before = plan({ views: 500, twice: 0, bad: 0, seed: 1 })
      await system.publish(before)
      const service = await system.start({ nodeOptions: SOON })
      await service.untilReady(START_MS)
      await until('retention runs', async () => (await oldRows(database)) < OLD_ROWS, START_MS)
      await slowClients(t, service.url)
      const since = performance.now()
      service.kill('SIGTERM')
      await until('it says that it ends', async () => (await service.readiness()) === STOPPING)
      const after = plan({ views: 300, twice: 0, bad: 0, seed: 2 })
      const [taken] = await database.query(
        "SELECT COUNT(*) AS count FROM post_views WHERE post_uuid <> 'old'",
      )
      await system.publish(after)
      assert.equal((await service.exited).code, 0)
      assert.ok(performance.now() - since < 20_000)
      assert.ok((await oldRows(database)) > 0, 'retention went on to its end')
      let queued = 0
      for (const queue of CONSUMED_QUEUES) queued += await messageCount(system.surroundings.amqpUrl, queue)
      assert.ok(queued >= after.messages.length, `${queued} are left, ${taken!['count']} were counted before`)

      // The command is ended the same way, and neither has left a lease behind.
      const prune = postviewsUnread(t, 'prune', { DATABASE_URL: database.url })
      const left = await oldRows(database)
      await until('it prunes', async () => (await oldRows(database)) < left, START_MS)
      assert.deepEqual(
        { ...(await prune.end('SIGINT')), tookMs: 0 },
        { code: null, signal: 'SIGINT', tookMs: 0 },
      )
      assert.equal(prune.errors(), INTERRUPTED)
      assert.ok((await oldRows(database)) > 0)

      await database.query('DROP TRIGGER slow')
      await system.start({ nodeOptions: SOON })
      await until('retention is through', async () => (await oldRows(database)) === 0, START_MS)
      await untilStored(database, before.views.size + after.views.size)
      await system.check()
    })
  }

  test('whatever waits for servers that take connections and never answer', async t => {
    const endsAsItShould = async (command: string, program: Program) => {
      const { code, signal } = await program.end('SIGTERM')
      if (['serve', 'consume', 'api'].includes(command)) assert.deepEqual([command, code], [command, 0])
      else assert.deepEqual([command, signal, program.errors()], [command, 'SIGTERM', INTERRUPTED])
    }
    const ends: Promise<void>[] = []
    for (const [setting, scheme, commands] of [
      [
        'DATABASE_URL',
        'mysql',
        ['serve', 'consume', 'api', 'migrate', 'verify', 'rebuild', 'prune', 'forget --user 7'],
      ],
      ['AMQP_URL', 'amqp', ['dead list', 'dead replay', 'dead purge --all']],
      ['DATABASE_URL', 'clickhouse', ['serve', 'migrate', 'verify']],
    ] as const) {
      for (const command of commands) {
        const server = await silentServer(t)
        const url = `${scheme}://user:password@127.0.0.1:${server.port}/${scheme === 'amqp' ? '' : 'views'}`
        const program = postviewsUnread(t, command, { [setting]: url })
        await until(`${command} on ${scheme} waits`, () => server.taken > 0, START_MS)
        ends.push(endsAsItShould(command, program))
      }
    }
    await Promise.all(ends)
  })

  test('a service whose broker and database fall silent with views in hand; the next start counts each once', async t => {
    const database = await MYSQL.create(t)
    const system = await createSystem(t, { database })
    const store = await startTcpProxy(Number(new URL(database.url).port))
    atEnd(t, () => store.close())
    const service = await system.start({ databaseUrl: store.through(database.url) })
    await service.untilReady(START_MS)
    await system.publish(plan({ views: 200, twice: 0, seed: 1 }))
    await untilStored(database, 200)
    store.swallow()
    await system.publish(plan({ views: 200, twice: 0, seed: 2 }))
    await until('it holds deliveries', () => system.tap.inHand > 0)
    system.proxy.swallow()
    const since = performance.now()
    assert.equal((await service.end('SIGTERM')).code, 0)
    assert.ok(performance.now() - since < 20_000)
    system.proxy.pass()
    system.proxy.reset()
    await system.start()
    await system.check()
  })

  test('migrate and serve while another migrates, or somebody keeps the table; nothing of them stays on the server', async t => {
    const { url } = await testMysql()
    const database = mysqlDatabase(url)
    const old = await oldConsumer(t, url)
    await old.consume({ timestamp: '2026-09-01 12:00:00' })
    const other = await otherSession(t, url)
    const sessions = async () =>
      Number(
        (
          await other.sql(
            'SELECT COUNT(*) AS count FROM information_schema.processlist WHERE db = DATABASE()',
          )
        )[0]!['count'],
      )
    const usual = await sessions()
    const { url: amqpUrl } = await testRabbitmq()
    const env = { DATABASE_URL: url, AMQP_URL: amqpUrl }
    const endBoth = async (waiting: string) => {
      // At once: whoever waits for the table gives up after a while.
      const programs = ['migrate', 'serve'].map(command => ({
        command,
        program: postviewsUnread(t, command, env),
      }))
      await until(
        `one ${waiting}, and so does the other, or it waits for the first`,
        async () => {
          await sleep(100)
          const states = await other.sql(
            'SELECT state, info FROM information_schema.processlist WHERE db = DATABASE()',
          )
          const texts = states.map(({ state, info }) => `${state} ${info}`)
          const waits = texts.filter(text => text.includes(waiting) || text.includes('GET_LOCK'))
          return texts.some(text => text.includes(waiting)) && waits.length === programs.length
        },
        START_MS,
      )
      const ends = programs.map(async ({ command, program }) => {
        const { code, signal } = await program.end('SIGTERM')
        if (command === 'serve') assert.equal(code, 0)
        else assert.deepEqual([signal, program.errors()], ['SIGTERM', INTERRUPTED])
      })
      await Promise.all(ends)
      await until('the server has let go of them', async () => (await sessions()) === usual)
    }

    const name = migrationLock(new URL(url).pathname.slice(1))
    const [lock] = await other.sql(`SELECT GET_LOCK('${name}', 0) AS taken`)
    assert.equal(Number(lock!['taken']), 1)
    await endBoth('GET_LOCK')
    await other.sql('DO RELEASE_ALL_LOCKS()')

    await other.sql('START TRANSACTION')
    await other.sql('SELECT * FROM post_views')
    await endBoth('Waiting for table metadata lock')
    await other.sql('COMMIT')

    assert.equal((await postviews({ databaseUrl: url, amqpUrl }, 'migrate')).code, 0)
    assert.equal((await postviews({ databaseUrl: url, amqpUrl }, 'verify')).code, 0)
    assert.equal(await countRows(database), 1)
  })

  test('rebuild that waits for a lock, and gives its own back', async t => {
    const { url } = await testMysql()
    const surroundings = { databaseUrl: url, amqpUrl: 'amqp://127.0.0.1:1' }
    assert.equal((await postviews(surroundings, 'migrate')).code, 0)
    const other = await otherSession(t, url)
    // What is right needs no lock.
    await other.sql("INSERT INTO post_view_totals (post_uuid, views) VALUES ('never-viewed', 1)")
    await other.sql('START TRANSACTION')
    await other.sql('SELECT * FROM post_view_state FOR UPDATE')
    const rebuild = postviewsUnread(t, 'rebuild', { DATABASE_URL: url })
    await until(
      'it waits',
      async () => {
        await sleep(120)
        const waiting = await other.sql(
          `SELECT 1 FROM information_schema.innodb_trx JOIN information_schema.processlist ON id = trx_mysql_thread_id
         WHERE db = DATABASE() AND trx_state = 'LOCK WAIT'`,
        )
        return waiting.length > 0
      },
      START_MS,
    )
    assert.equal((await rebuild.end('SIGTERM')).signal, 'SIGTERM')
    assert.equal(rebuild.errors(), INTERRUPTED)
    await other.sql('COMMIT')
    assert.equal((await postviews(surroundings, 'rebuild')).code, 0)
    assert.equal((await postviews(surroundings, 'verify')).code, 0)
  })

  test('dead replay in the middle: what was replayed is out, the rest stays, nothing is there twice', async t => {
    const LETTERS = 3_000
    const { url } = await testRabbitmq()
    await declareQueues(url)
    await onChannel(url, async channel => {
      for (let n = 0; n < LETTERS; n++)
        channel.sendToQueue(DEAD_QUEUE, Buffer.from('{}'), { persistent: true })
      await channel.close()
    })
    const proxy = await startTcpProxy(Number(new URL(url).port))
    atEnd(t, () => proxy.close())
    proxy.delay(10)
    const replay = postviewsUnread(t, 'dead replay', { AMQP_URL: proxy.through(url) })
    await until('it replays', async () => (await messageCount(url, VIEWS_QUEUE)) > 0, START_MS)
    assert.equal((await replay.end('SIGTERM')).signal, 'SIGTERM')
    assert.equal(replay.errors(), INTERRUPTED)
    const replayed = await messageCount(url, VIEWS_QUEUE)
    assert.ok(replayed < LETTERS, 'it went on to its end')
    await until(
      'nothing is lost, nothing is there twice',
      async () => replayed + (await messageCount(url, DEAD_QUEUE)) === LETTERS,
    )
    assert.equal((await postviews({ amqpUrl: url, databaseUrl: 'sqlite:none' }, 'dead', 'replay')).code, 0)
    assert.equal(await messageCount(url, VIEWS_QUEUE), LETTERS)
  })

  test('a service whose log nobody reads, and which has gone on counting', async t => {
    // Several times what a pipe holds, in lines.
    const VIEWS = 800
    const database = await SQLITE.create(t)
    const { url } = await testRabbitmq()
    await declareQueues(url)
    const serve = postviewsUnread(t, 'serve', {
      DATABASE_URL: database.url,
      AMQP_URL: url,
      // A line for each view.
      BATCH_EVENTS: '1',
      LOG_LEVEL: 'debug',
    })
    await onChannel(url, async channel => {
      for (let n = 0; n < VIEWS; n++) channel.sendToQueue(VIEWS_QUEUE, Buffer.from(`{"post_uuid":"${n}"}`))
      await channel.close()
    })
    await untilStored(database, VIEWS)
    assert.deepEqual({ ...(await serve.end('SIGTERM')), tookMs: 0 }, { code: 0, signal: null, tookMs: 0 })
    assert.equal(await messageCount(url, VIEWS_QUEUE), 0)
  })

  for (const [name, file, settings] of [
    ['the panel', 'packages/admin/src/main.ts', { ADMIN_PASSWORD: 'correct horse battery staple' }],
    ['the blog', 'examples/blog/src/main.ts', {}],
  ] as const) {
    test(`${name} beside clients that never end their requests, and services that never answer`, async t => {
      const silent = await silentServer(t)
      const { port, release } = await holdFreePort()
      atEnd(t, release)
      const program = startProgram(t, ['--disable-warning=ExperimentalWarning', file], {
        ...settings,
        PORT: String(port),
        INTERNAL_API_KEY: API_KEY,
        ANALYTICS_URL: `http://127.0.0.1:${silent.port}`,
        AMQP_URL: `amqp://127.0.0.1:${silent.port}`,
      })
      const url = `http://127.0.0.1:${port}`
      const listens = () =>
        fetch(`${url}/livez`).then(
          ({ ok }) => ok,
          () => false,
        )
      await until('it listens', listens, START_MS)
      await slowClients(t, url)
      assert.equal((await program.end('SIGTERM')).code, 0)
    })
  }

  test('a process with a thread that cannot be ended, after 18 s; a second signal ends it at once', async t => {
    const stuck = `
      import { Worker } from 'node:worker_threads'
      import { endOnSignals } from '@postviews/client/src/ending.ts'
      endOnSignals({ onOverdue: () => console.error('overdue') })
      const waits = \`
        import { spawnSync } from 'node:child_process'
        import { parentPort } from 'node:worker_threads'
        parentPort.postMessage('stuck')
        spawnSync('sleep', ['60'])\`
      new Worker(waits, { eval: true }).on('message', word => console.error(word))`
    const programs = [1, 2].map(() => startProgram(t, ['--input-type=module', '--eval', stuck], {}))
    const [patient, hurried] = programs as [(typeof programs)[0], (typeof programs)[0]]
    await until('both are stuck', () => programs.every(({ errors }) => errors() === 'stuck\n'), START_MS)
    const hurry = async () => {
      hurried.kill('SIGTERM')
      await sleep(1_500)
      assert.ok(hurried.isRunning)
      return hurried.end('SIGINT')
    }
    const [patiently, hurriedly] = await Promise.all([patient.end('SIGTERM'), hurry()])
    assert.equal(hurriedly.signal, 'SIGINT')
    assert.ok(hurriedly.tookMs < 5_000)
    assert.equal(patiently.signal, 'SIGTERM')
    assert.equal(patient.errors(), 'stuck\noverdue\n')
  })
})
