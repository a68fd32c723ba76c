/** What is MySQL's own: transactions that meet, and what its server says of values, users and settings. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import {
  RowRejected,
  StoreBroken,
  StoreRefused,
  StoreUnavailable,
} from '../packages/analytics/src/store/failures.ts'
import { visitorOf } from '../packages/analytics/src/store/row.ts'
import { dumpSchema } from '../packages/analytics/src/store/schema-dump.ts'
import { testMysql } from '../tools/stack/for-tests.ts'
import { startMysql } from '../tools/stack/mysql.ts'
import { assertVerified } from './store-contract-database.ts'
import { MYSQL } from './support/engines.ts'
import {
  createUser,
  holdBatches,
  numbersTo,
  otherSession,
  storeOn,
  untilWaiting,
  waitingSince,
} from './support/mysql.ts'
import { until } from './support/until.ts'
import { POST, received, record, view } from './support/views.ts'

const NOON = '2026-03-10T12:00:00Z'
const HOT = Array.from({ length: 10 }, (_, index) => `hot-${index}`)
const SCHEMA = new URL('../packages/analytics/src/store/mysql/schema.sql', import.meta.url)
const CERTIFICATE = join(import.meta.dirname, 'support/localhost.pem')

/** Views of ten hot posts by thirty readers. */
function hotViews(count: number) {
  return Array.from({ length: count }, (_, index) =>
    view(NOON, { postUuid: HOT[index % 10]!, ip: `192.0.2.${index % 30}` }),
  )
}

test('the committed schema is what the migrations make', async t => {
  const { url } = await testMysql()
  await (await storeOn(t, url)).migrate()
  assert.equal(await dumpSchema(url), readFileSync(SCHEMA, 'utf8'))
})

describe('batches that meet', () => {
  test('count hot posts, shared readers and shared views exactly, while one waits for the other', async t => {
    const { url } = await testMysql()
    const [first, second] = [await storeOn(t, url), await storeOn(t, url)]
    await first.migrate()
    await record(first, [view(NOON)])
    const other = await otherSession(t, url)
    const shared = hotViews(400)
    for (let round = 0; round < 5; round++) {
      const own = [hotViews(400), hotViews(400)]
      const rows = [
        received([...own[0]!, ...shared.slice(0, 80 * (round + 1))]),
        received([...shared.slice(40 * round).reverse(), ...own[1]!]),
      ]
      // Both come as far as they can: the first to what every batch writes last, the second to its turn, or an id of the first.
      await holdBatches(other)
      const recorded = [first.recordViews(rows[0]!), second.recordViews(rows[1]!)]
      await untilWaiting(other, 2)
      await other.sql('COMMIT')
      await Promise.all(recorded)
    }
    const { views } = await first.siteTotals()
    assert.equal(views, 1 + 5 * 800 + 400)
    const totals = await first.postTotals(HOT)
    // Thirty readers in turn, ten posts in turn: three to a post.
    assert.deepEqual(new Set(totals.map(({ unique_views }) => unique_views)), new Set([3]))
    await assertVerified(first)
  })

  test('count an id once that another consumer commits while they wait for it', async t => {
    const { url } = await testMysql()
    const [first, second] = [await storeOn(t, url), await storeOn(t, url)]
    await first.migrate()
    await record(first, [view(NOON)])
    const other = await otherSession(t, url)
    const rows = received(hotViews(700))
    await holdBatches(other)
    const early = first.recordViews(rows.slice(100, 500))
    await untilWaiting(other, 1)
    const late = second.recordViews(rows)
    await untilWaiting(other, 2)
    await other.sql('COMMIT')
    assert.deepEqual(await early, { counted: 400, duplicates: 0 })
    assert.deepEqual(await late, { counted: 300, duplicates: 400 })
    await assertVerified(first)
  })

  test('count a reader once whom another consumer lists while they wait for it', async t => {
    const { url } = await testMysql()
    const [first, second] = [await storeOn(t, url), await storeOn(t, url)]
    await first.migrate()
    await record(first, [view(NOON)])
    const other = await otherSession(t, url)
    const [early, late] = [received(hotViews(20)), received(hotViews(30))]
    await holdBatches(other)
    const recorded = [first.recordViews(early)]
    await untilWaiting(other, 1)
    recorded.push(second.recordViews(late))
    await untilWaiting(other, 2)
    await other.sql('COMMIT')
    await Promise.all(recorded)
    assert.equal((await first.siteTotals()).unique_views, 31)
    await assertVerified(first)
  })

  test('insert their rows beside each other, and count them in turns', async t => {
    const { url } = await testMysql()
    const [first, second] = [await storeOn(t, url), await storeOn(t, url)]
    await first.migrate()
    await record(first, [view(NOON)])
    const other = await otherSession(t, url)
    await other.sql('SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED')
    const written = async () => {
      const [row] = await other.sql(
        'SELECT (SELECT COUNT(*) FROM post_views) AS views, (SELECT COUNT(*) FROM post_view_visitors) AS readers',
      )
      return row
    }
    await holdBatches(other)
    const recorded = [first.recordViews(received(hotViews(10)))]
    await untilWaiting(other, 1)
    // They have neither a post nor a reader in common: nothing but the turn is waited for.
    const apart = [view(NOON, { postUuid: 'cold', ip: '198.51.100.1' })]
    recorded.push(second.recordViews(received(apart)))
    await untilWaiting(other, 2)
    assert.deepEqual({ ...(await written()) }, { views: 12, readers: 11 })
    await other.sql('COMMIT')
    await Promise.all(recorded)
    assert.deepEqual({ ...(await written()) }, { views: 12, readers: 12 })
    await assertVerified(first)
  })

  test('begin anew when a reader is listed out of turn, as earlier versions did', async t => {
    const { url } = await testMysql()
    const store = await storeOn(t, url)
    await store.migrate()
    await record(store, [view(NOON)])
    const views = hotViews(20)
    const { postUuid, ip, userAgent } = views[7]!
    const other = await otherSession(t, url)
    const [key] = await other.sql('SELECT day, secret FROM post_view_day_keys')
    const visitor = visitorOf(key!['secret'], 'ip', ip, userAgent)
    await other.sql('START TRANSACTION')
    await other.sql(
      `INSERT INTO post_view_visitors (day, post_uuid, slice, visitor) VALUES ('${key!['day']}', '${postUuid}', 0, x'${visitor}')`,
    )
    const recorded = record(store, views)
    await untilWaiting(other, 1)
    await other.sql('COMMIT')
    assert.deepEqual(await recorded, { counted: 20, duplicates: 0 })
    // Whoever listed that reader counts it.
    assert.equal((await store.siteTotals()).unique_views, 1 + 20 - 1)
  })

  test('begin anew when a deadlock has undone them', async t => {
    const { url } = await testMysql()
    const store = await storeOn(t, url)
    await store.migrate()
    await record(store, [view(NOON)])
    const other = await otherSession(t, url)
    // Whoever has written least is undone, so the other session has written more.
    await other.sql('CREATE TABLE ballast (id INT PRIMARY KEY AUTO_INCREMENT, text TEXT)')
    await other.sql('START TRANSACTION')
    await other.sql(`INSERT INTO ballast (text) SELECT seq FROM ${numbersTo(20_000)}`)
    await other.sql('SELECT * FROM site_view_aggregates FOR UPDATE')
    const recorded = record(store, [...hotViews(50), view(NOON)])
    await untilWaiting(other, 1)
    await other.sql('SELECT * FROM post_view_aggregates FOR UPDATE')
    await other.sql('COMMIT')
    assert.deepEqual(await recorded, { counted: 51, duplicates: 0 })
    await assertVerified(store)
  })

  test('begin anew when they have waited too long for a lock', async t => {
    const { url } = await testMysql()
    const store = await storeOn(t, url)
    await store.migrate()
    await record(store, [view(NOON)])
    const other = await otherSession(t, url)
    await holdBatches(other)
    const recorded = record(store, hotViews(50))
    await untilWaiting(other, 1)
    const [before] = await waitingSince(other)
    await until('it has begun anew', async () => {
      const [now] = await waitingSince(other)
      return now !== undefined && now !== before
    })
    await other.sql('COMMIT')
    assert.deepEqual(await recorded, { counted: 50, duplicates: 0 })
    await assertVerified(store)
  })

  test('wait for work that no batch may overlap, and it for them', async t => {
    const { url } = await testMysql()
    const [store, second] = [await storeOn(t, url), await storeOn(t, url)]
    await store.migrate()
    await record(store, [view(NOON)])
    const rows = received(hotViews(10))
    const other = await otherSession(t, url)
    await other.sql('START TRANSACTION')
    await other.sql('SELECT * FROM post_view_state FOR UPDATE')
    const waits = store.recordViews(rows)
    await untilWaiting(other, 1)
    await other.sql('COMMIT')
    await waits

    await holdBatches(other)
    const runs = store.recordViews(received(hotViews(10)))
    await untilWaiting(other, 1)
    const pruned = second.prune({ now: 2_000_000_000, rawRetentionDays: 1, maxAgeSeconds: 3_600 })
    await untilWaiting(other, 2)
    await other.sql('COMMIT')
    await runs
    assert.equal((await pruned).rows, 21)
    await assertVerified(store)
  })
})

describe('errors', () => {
  test('a row that cannot be kept is refused without a word of what is in it', async t => {
    const { url } = await testMysql()
    const store = await storeOn(t, url)
    await store.migrate()
    const good = view(NOON)
    const secret = 'sekret'
    const unkeepable = [
      { referer: secret.repeat(100) },
      { ip: secret.repeat(10) },
      { userId: '18446744073709551616' },
      { userId: secret },
      { viewedAt: 2 ** 32 },
      { postUuid: secret.repeat(7) },
    ]
    for (const fields of unkeepable) {
      await assert.rejects(record(store, [{ ...good, ...fields }]), (error: Error) => {
        assert.ok(error instanceof RowRejected, `${JSON.stringify(fields)}: ${error.message}`)
        assert.match(error.message, /^MySQL at 127\.0\.0\.1:\d+: [A-Z_]+ \(\d+\), at INSERT INTO post_views$/)
        assert.doesNotMatch(JSON.stringify(error, Object.getOwnPropertyNames(error)), /sekret/)
        assert.equal(error.cause, undefined)
        return true
      })
    }
    assert.deepEqual(await record(store, [good]), { counted: 1, duplicates: 0 })
    await assertVerified(store)
  })

  test('a time is kept where the server keeps it and refused where not: TIMESTAMP ends in 2038 or in 2106', async t => {
    const { url } = await testMysql()
    const store = await storeOn(t, url)
    await store.migrate()
    const late = '2040-01-01T12:00:00Z'
    const other = await otherSession(t, url)
    await other.sql('CREATE TABLE times (time TIMESTAMP)')
    const isKept = await other.sql(`INSERT INTO times VALUES ('${late.slice(0, -1)}')`).then(
      () => true,
      () => false,
    )
    const rows = received([view(NOON), view(late)])
    if (isKept) {
      assert.deepEqual(await store.recordViews(rows), { counted: 2, duplicates: 0 })
      assert.equal((await store.postTotals([POST]))[0]?.last_viewed_at, late)
    } else {
      await assert.rejects(store.recordViews(rows), RowRejected)
      assert.deepEqual(await store.recordViews(rows.slice(0, 1)), { counted: 1, duplicates: 0 })
    }
    await assertVerified(store)
  })

  test('a row that a rule of the users forbids is refused, and its neighbours are kept', async t => {
    const { url } = await testMysql()
    const store = await storeOn(t, url)
    await store.migrate()
    const other = await otherSession(t, url)
    await other.sql('CREATE TABLE users (id BIGINT UNSIGNED PRIMARY KEY)')
    await other.sql('INSERT INTO users VALUES (7)')
    await other.sql('ALTER TABLE post_views ADD FOREIGN KEY (user_id) REFERENCES users (id)')
    await other.sql("ALTER TABLE post_views ADD CHECK (post_uuid <> 'forbidden'), ADD UNIQUE KEY (ip)")
    await assert.rejects(record(store, [view(NOON, { userId: '8' })]), RowRejected)
    await assert.rejects(record(store, [view(NOON, { postUuid: 'forbidden' })]), RowRejected)
    await assert.rejects(record(store, [view(NOON), view(NOON)]), RowRejected)
    assert.equal((await record(store, [view(NOON, { userId: '7' })])).counted, 1)
    await assertVerified(store)
  })

  test('an error names host and port, and neither user nor password', async t => {
    const { url } = await testMysql()
    const { port } = new URL(url)
    for (const wrong of [
      `mysql://somebody:sekret@127.0.0.1:${port}/none`,
      'mysql://somebody:sekret@127.0.0.1:1/none',
    ]) {
      const store = await storeOn(t, wrong)
      const { host } = new URL(wrong)
      for (const work of [
        () => store.ping(),
        () => store.siteTotals(),
        () => store.migrate(),
        () => store.checkSettings(),
      ]) {
        await assert.rejects(work(), (error: Error) => {
          assert.ok(error instanceof StoreUnavailable)
          assert.ok(error.message.startsWith(`MySQL at ${host}: `), error.message)
          assert.doesNotMatch(JSON.stringify(error, Object.getOwnPropertyNames(error)), /sekret|somebody/)
          return true
        })
      }
    }
  })

  test('a migration without the privileges for it says which step they are missing for', async t => {
    const { url } = await testMysql()
    const root = await otherSession(t, url)
    const { hostname, host, pathname } = new URL(url)
    const name = pathname.slice(1)
    await createUser(root.sql, `${name}@'${hostname}'`)
    await root.sql(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${name}.* TO ${name}@'${hostname}'`)
    const store = await storeOn(t, `mysql://${name}@${host}/${name}`)
    const refused = (step: string) => (error: Error) => {
      assert.ok(error instanceof StoreBroken)
      assert.equal(error.step, step)
      assert.match(error.message, /ER_TABLEACCESS_DENIED_ERROR \(1142\), at (?:CREATE|ALTER) TABLE/)
      return true
    }
    await assert.rejects(store.migrate(), refused('creating post_view_migrations'))
    await root.sql(`GRANT CREATE, ALTER ON ${name}.post_view_migrations TO ${name}@'${hostname}'`)
    await assert.rejects(store.migrate(), refused('migration 1 (initial)'))
    await root.sql(`DROP USER ${name}@'${hostname}'`)
  })

  test('a table that is gone is no fault of the views, and somebody has to mend it', async t => {
    const { url } = await testMysql()
    const store = await storeOn(t, url)
    await store.migrate()
    const other = await otherSession(t, url)
    await other.sql('RENAME TABLE post_view_visitors TO elsewhere')
    await assert.rejects(record(store, [view(NOON)]), StoreBroken)
    await other.sql('RENAME TABLE elsewhere TO post_view_visitors')
    assert.equal((await record(store, [view(NOON)])).counted, 1)
    await assertVerified(store)
  })
})

describe('servers', () => {
  test('of whatever configuration make the same tables and keep the same values', async t => {
    const server = await startMysql({
      args: [
        '--character-set-server=latin1',
        // MySQL 9 always speaks to a client as the client asks.
        ...(MYSQL.name === 'MySQL' ? [] : ['--skip-character-set-client-handshake']),
        '--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES',
        '--default-time-zone=+05:30',
        '--explicit-defaults-for-timestamp=OFF',
        '--innodb-default-row-format=compact',
        '--transaction-isolation=SERIALIZABLE',
        '--default-storage-engine=MyISAM',
        '--autocommit=OFF',
      ],
    })
    t.after(() => server.stop())
    const { url } = await server.database(undefined, { characterSet: 'latin1' })
    const store = await storeOn(t, url)
    await store.migrate()
    assert.equal(await dumpSchema(url), readFileSync(SCHEMA, 'utf8'))
    const texts = [`"quoted" 'and' \\escaped\\ \n\t\u001a`, 'Лиса 🦊', "\\'; DROP TABLE post_views; -- "]
    await record(
      store,
      texts.map(text =>
        view('2026-03-10T23:59:59Z', { userAgent: text, referer: `https://a.example/${text}` }),
      ),
    )
    const found = await (await otherSession(t, url)).sql(
      'SELECT HEX(user_agent) AS agent, UNIX_TIMESTAMP(viewed_at) AS viewed_at FROM post_views ORDER BY id',
    )
    assert.deepEqual(found.map(({ agent }) => Buffer.from(agent, 'hex').toString()).sort(), texts.toSorted())
    assert.deepEqual(found[0]?.['viewed_at'], Date.parse('2026-03-10T23:59:59Z') / 1_000)
    await assertVerified(store)
  })

  test('are reached through TLS where the URL says so, and only through it', async t => {
    // Where a server of another stack sees it too.
    const folder = await mkdtemp(join(tmpdir(), 'postviews-'))
    t.after(() => rm(folder, { recursive: true }))
    const certificate = join(folder, 'localhost.pem')
    await copyFile(CERTIFICATE, certificate)
    const server = await startMysql({ args: [`--ssl-cert=${certificate}`, `--ssl-key=${certificate}`] })
    t.after(() => server.stop())
    const { url, name } = await server.database()
    const other = await otherSession(t, url)
    await other.sql("CREATE USER guarded@'127.0.0.1' REQUIRE SSL")
    await other.sql("CREATE USER guarded@'localhost' REQUIRE SSL")
    await other.sql(`GRANT ALL ON ${name}.* TO guarded@'127.0.0.1'`)
    await other.sql(`GRANT ALL ON ${name}.* TO guarded@'localhost'`)
    for (const host of ['localhost', '127.0.0.1']) {
      const guarded = `mysql://guarded@${host}:${server.port}/${name}`
      const store = await storeOn(t, `${guarded}?ssl-ca=${CERTIFICATE}`)
      await store.migrate()
      await record(store, [view(NOON)])
      await assertVerified(store)
      // In plain text, and under authorities that do not know this server.
      await assert.rejects((await storeOn(t, guarded)).ping(), StoreUnavailable)
      await assert.rejects((await storeOn(t, `${guarded}?ssl=true`)).ping(), StoreUnavailable)
    }
    const plain = await testMysql()
    await assert.rejects((await storeOn(t, `${plain.url}?ssl=true`)).ping(), StoreUnavailable)
  })

  test('are not connected to by a URL that says what cannot be understood', async t => {
    const folder = await mkdtemp(join(tmpdir(), 'postviews-'))
    t.after(() => rm(folder, { recursive: true }))
    for (const query of ['ssl=yes', 'sslca=/ca.pem', 'tls=true', `ssl-ca=${join(folder, 'none.pem')}`]) {
      await assert.rejects(storeOn(t, `mysql://127.0.0.1/views?${query}`), {
        constructor: StoreRefused,
        message: /^DATABASE_URL: /,
      })
    }
  })
})
