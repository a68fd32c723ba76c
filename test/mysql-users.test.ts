/** Who may sign in to a server of MySQL or MariaDB, how, and what they have to be allowed to do. */

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { StoreBroken, StoreUnavailable } from '../packages/analytics/src/store/failures.ts'
import type { Store } from '../packages/analytics/src/store/store.ts'
import { type Database, type Mysql, startMysql } from '../tools/stack/mysql.ts'
import { assertVerified } from './store-contract-database.ts'
import { oldConsumer } from './support/article-tables.ts'
import { createUser, type OtherSession, otherSession, storeOn } from './support/mysql.ts'
import { POST, record, view } from './support/views.ts'

const NOON = '2026-03-10T12:00:00Z'
const PASSWORD = 'pa:ss/w@rd ü'

describe('a server', () => {
  let server: Mysql
  before(async () => {
    server = await startMysql()
  })
  after(() => server.stop())

  /** A database, and a URL by which a user with a password signs in to it. */
  async function guarded(
    t: TestContext,
    grants: string,
  ): Promise<{ database: Database; root: OtherSession; user: string; url: string }> {
    const database = await server.database()
    const root = await otherSession(t, database.url)
    const user = `${database.name}@'127.0.0.1'`
    await createUser(root.sql, user, `IDENTIFIED BY '${PASSWORD}'`)
    await root.sql(`GRANT ${grants} ON ${database.name}.* TO ${user}`)
    const secret = encodeURIComponent(PASSWORD)
    const url = `mysql://${database.name}:${secret}@127.0.0.1:${server.port}/${database.name}`
    return { database, root, user, url }
  }

  test('takes a password in plain text and through TLS, whether it has seen it before or not', async t => {
    const { database, root, user, url } = await guarded(t, 'ALL')
    if (server.isMysql) {
      const [plugin] = await root.sql(
        `SELECT plugin AS plugin FROM mysql.user WHERE user = '${database.name}'`,
      )
      assert.equal(plugin!['plugin'], 'caching_sha2_password')
    }
    const authority = join(server.dir, 'data', 'ca.pem')
    const ways = [url, ...(existsSync(authority) ? [`${url}?ssl-ca=${authority}`] : [])]
    assert.equal(ways.length, server.isMysql ? 2 : 1)
    for (const way of ways) {
      // What the server remembers of passwords is gone.
      await root.sql('FLUSH PRIVILEGES')
      for (const times of [1, 2]) {
        const store = await storeOn(t, way)
        await store.migrate()
        await record(store, [view(NOON)])
        assert.ok((await store.siteTotals()).views! >= times)
      }
      const wrong = await storeOn(t, way.replace(encodeURIComponent(PASSWORD), 'wrong'))
      await assert.rejects(wrong.ping(), (error: Error) => {
        assert.ok(error instanceof StoreBroken)
        assert.equal(error.step, 'signing in')
        assert.match(error.message, /ER_ACCESS_DENIED_ERROR \(1045\)/)
        return true
      })
    }
    await root.sql(`ALTER USER ${user} ACCOUNT LOCK`)
    await assert.rejects((await storeOn(t, url)).ping(), StoreBroken)
  })

  test('whose certificate is one that MySQL has made itself: reached by its address, under its own authority alone', async t => {
    const { url } = await guarded(t, 'ALL')
    const authority = join(server.dir, 'data', 'ca.pem')
    if (!server.isMysql) {
      // MariaDB makes none, or one that nobody vouches for.
      assert.equal(existsSync(authority), false)
      await assert.rejects((await storeOn(t, `${url}?ssl=true`)).ping(), StoreUnavailable)
      return
    }
    const store = await storeOn(t, `${url}?ssl-ca=${authority}`)
    await store.migrate()
    await record(store, [view(NOON)])
    await assertVerified(store)
    await assert.rejects((await storeOn(t, `${url}?ssl=true`)).ping(), StoreUnavailable)
    // It names no host.
    const byName = url.replace('@127.0.0.1:', '@localhost:')
    await assert.rejects((await storeOn(t, `${byName}?ssl-ca=${authority}`)).ping(), StoreUnavailable)
  })

  test('whose user has the privileges of the manual, and no others: everything works, on new tables and on old ones', async t => {
    for (const isNew of [true, false]) {
      const { database, root, user, url } = await guarded(t, 'SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER')
      if (!isNew) {
        const old = await oldConsumer(t, database.url)
        await old.consume({ timestamp: '2026-03-10 11:00:00' })
      }
      await (await storeOn(t, url)).migrate()
      // It may drop no table: those that are not used any more stay, and are empty.
      const left = 'SELECT COUNT(*) AS hosts FROM post_view_referrers'
      assert.deepEqual(await root.sql(left), [{ hosts: 0 }])
      await root.sql(`REVOKE CREATE, ALTER ON ${database.name}.* FROM ${user}`)
      const store = await storeOn(t, url)
      await doesEverything(store, isNew ? 0 : 1)
    }
  })
})

async function doesEverything(store: Store, before: number): Promise<void> {
  await store.checkSettings()
  await store.ping()
  await record(store, [view(NOON, { userId: '7' }), view(NOON)])
  assert.equal((await store.siteTotals()).views, before + 2)
  assert.equal(
    (await store.topPosts({ period: { from: '2026-03-10', to: '2026-03-10' }, limit: 10 })).posts[0]
      ?.post_uuid,
    POST,
  )
  await assertVerified(store)
  await store.rebuild({ adoptSettings: false })
  assert.equal(await store.forget({ userId: '7' }), 1)
  const now = Math.floor(Date.now() / 1_000) + 400 * 86_400
  assert.equal((await store.prune({ now, rawRetentionDays: 90, maxAgeSeconds: 86_400 })).rows, before + 2)
  await assertVerified(store)
}
