/** The contract, sixth part: the hosts that readers came from, and which of them are the site's own. */

import assert from 'node:assert/strict'
import type { View } from '@postviews/client/src/index.ts'
import { StoreRefused } from '../packages/analytics/src/store/failures.ts'
import { ownHostsOf } from '../packages/analytics/src/store/own-hosts.ts'
import type { Store } from '../packages/analytics/src/store/store.ts'
import {
  assertVerified,
  type ContractEngine,
  differencesIn,
  type Promises,
  type TestDatabase,
} from './store-contract-database.ts'
import { referrersIn } from './support/referrers.ts'
import { outcomeOf, POST, received, record, unix, view } from './support/views.ts'

const DAY = '2026-03-10'
const NOON = `${DAY}T12:00:00Z`
const SETTLING = { now: unix('2026-03-20T00:00:00Z'), rawRetentionDays: 0, maxAgeSeconds: 30 * 86_400 }
const KEEP = { adoptSettings: false } as const
const ADOPT = { adoptSettings: true } as const

export function hostsContract(promises: Promises, { countsByRows = false }: ContractEngine): void {
  promises('keeps the hosts of rows from before www was dropped', async database => {
    const { open } = database
    const store = await open()
    await recordBefore(store, database)
    await record(store, viewsFrom('https://www.news.example/', 'https://www.news.example/'))
    const hosts = [
      { host: 'news.example', views: 2 },
      { host: 'www.news.example', views: 2 },
      { host: 'x;=1+1;y', views: 1 },
    ]
    const areKept = async (store: Store) => {
      assert.deepEqual(await referrers(store), hosts)
      assert.deepEqual(await referrers(store, POST), hosts)
      await assertVerified(store)
    }
    await areKept(store)
    assert.equal((await store.rebuild(KEEP)).fixed, 0)
    await areKept(store)
    await store.forget({ ip: '192.0.2.1' })
    await areKept(store)
    const adopting = await open({ windowHours: 6, bots: 'exclude' })
    await adopting.rebuild(ADOPT)
    await areKept(adopting)
  })

  promises('takes the host of a row as the row has it', async ({ open, damage }) => {
    const store = await open()
    // So many that their breakdowns are written.
    await record(store, viewsFrom(...Array.from({ length: 40 }, () => 'https://a.example/'), null))
    // Where a day's hosts are kept once it is settled.
    if (countsByRows) await store.prune(SETTLING)
    await damage({ kind: 'rows tampered', post: POST, says: { refererHost: 'b.example' } })
    const found = await differencesIn(store)
    assert.deepEqual([...new Set(found.map(({ kind }) => kind))].toSorted(), ['referrer', 'site_referrer'])
    await store.rebuild(KEEP)
    await assertVerified(store)
    assert.deepEqual(await referrers(store), [{ host: 'b.example', views: 41 }])
    assert.deepEqual(await referrers(store, POST), [{ host: 'b.example', views: 41 }])
  })

  promises('marks the rows of own hosts, of days from before the list too', async database => {
    const { open } = database
    const store = await open()
    await recordBefore(store, database)
    await record(
      store,
      viewsFrom(
        'https://www.blog.example:8080/a',
        'https://blog.example/b',
        'https://shop.blog.example/',
        'https://a.wide.example/',
        'https://wide.example/',
        'http://127.0.0.1:3300/',
        'https://xn--e1afmkfd.xn--p1ai/',
        null,
      ),
    )
    const before = await referrers(store)
    assert.ok(before.every(row => !('internal' in row)))

    await recordHosts(store, 'Blog.example:80, www.news.example, *.wide.example, 127.0.0.1, пример.рф')
    const own = ['www.news.example', 'blog.example', 'a.wide.example', '127.0.0.1', 'xn--e1afmkfd.xn--p1ai']
    const marked = before.map(row => (own.includes(row.host ?? '') ? { ...row, internal: true } : row))
    const reader = await open()
    assert.deepEqual(await referrers(reader), marked)
    assert.deepEqual(await referrers(reader, POST), marked)
    await assertVerified(store)

    await recordHosts(store, 'none', { goesBack: true })
    assert.deepEqual(await referrers(reader), before)
  })

  promises(
    'records another list, and refuses consumers that began under the one before',
    async ({ open }) => {
      const [consumer, reader, other] = [await open(), await open(), await open()]
      await consumer.checkSettings(null)
      const batch = received(viewsFrom('https://a.example/'))
      assert.deepEqual(await recordHosts(other, 'a.example'), ["the site's own hosts none with a.example"])

      await assert.rejects(consumer.recordViews(batch), StoreRefused)
      await assert.rejects(consumer.recordViews(batch), StoreRefused)
      assert.equal((await reader.siteTotals()).views, 0)
      assert.deepEqual(await other.recordViews(batch), outcomeOf(other, 1, 0))
      assert.deepEqual(await referrers(reader), [{ host: 'a.example', views: 1, internal: true }])

      // Started again, it has learned of it.
      await consumer.checkSettings(null)
      await record(consumer, viewsFrom('https://a.example/'))
      assert.equal((await reader.siteTotals()).views, 2)
      await assertVerified(reader)
    },
  )

  promises('refuses nobody where the list that is recorded is recorded again, or none', async ({ open }) => {
    const [consumer, other] = [await open(), await open()]
    await recordHosts(other, 'b.example,a.example')
    await consumer.checkSettings(ownHostsOf('a.example,b.example'))
    for (const hosts of ['www.a.example, B.example:8080', null]) {
      assert.deepEqual(await recordHosts(other, hosts), [])
      assert.deepEqual(await recordHosts(other, hosts, { goesBack: true }), [])
    }
    await other.migrate()
    await record(consumer, viewsFrom('https://a.example/'))
    assert.deepEqual((await consumer.checkSettings(null)).ownHosts, ['a.example', 'b.example'])
  })

  promises(
    'uses the recorded list where a process has one that was replaced, and goes back when told',
    async ({ open }) => {
      const store = await open()
      await recordHosts(store, 'a.example')
      await recordHosts(store, 'b.example')
      const inUse = { ownHosts: ['b.example'], isReplaced: true }
      for (const replaced of ['a.example', 'none']) {
        assert.deepEqual(await recordHosts(store, replaced), [])
        assert.deepEqual(await store.checkSettings(ownHostsOf(replaced)), inUse)
      }
      await record(store, viewsFrom('https://b.example/'))

      assert.deepEqual(await recordHosts(store, 'a.example', { goesBack: true }), [
        "the site's own hosts b.example with a.example",
      ])
      assert.deepEqual(await store.checkSettings(['a.example']), {
        ownHosts: ['a.example'],
        isReplaced: false,
      })
      assert.deepEqual(await store.checkSettings(['b.example']), {
        ownHosts: ['a.example'],
        isReplaced: true,
      })
    },
  )

  promises('refuses a list that was never recorded, where nobody records it', async ({ open }) => {
    const store = await open()
    await recordHosts(store, 'a.example')
    await assert.rejects(store.checkSettings(['c.example']), {
      constructor: StoreRefused,
      message: /SITE_HOSTS is c\.example, but the database records a\.example: run `postviews migrate`/,
    })
    assert.deepEqual(await store.checkSettings(null), { ownHosts: ['a.example'], isReplaced: false })
  })

  promises('records one list after the other where several processes have others', async ({ open }) => {
    const stores = await Promise.all([open(), open(), open(), open()])
    const lists = ['a.example', 'b.example', 'c.example', 'd.example']
    const changes = await Promise.all(stores.map((store, index) => recordHosts(store, lists[index]!)))
    // Each replaced another one, or none at all.
    const before = changes.flat().map(change => /hosts (\S+) with/.exec(change)![1]!)
    assert.equal(new Set(before).size, 4)
    assert.ok(before.includes('none'))
    const { ownHosts } = await stores[0]!.checkSettings(null)
    for (const list of lists) {
      assert.deepEqual(await stores[0]!.checkSettings([list]), { ownHosts, isReplaced: list !== ownHosts[0] })
    }
  })
}

/** As a process that may record does; what was replaced, in words. */
async function recordHosts(store: Store, hosts: string | null, { goesBack = false } = {}) {
  const { replaced } = await store.migrate(undefined, {
    ownHosts: hosts === null ? null : ownHostsOf(hosts),
    goesBack,
  })
  return replaced
}

function viewsFrom(...referers: (string | null)[]): View[] {
  return referers.map(referer => view(NOON, { referer }))
}

/** As a version stored them that kept `www.`, and whatever a URL allows. */
async function recordBefore(store: Store, { damage }: TestDatabase): Promise<void> {
  const referers = ['https://www.news.example/', 'https://www.news.example/', 'http://x;=1+1;y/']
  await record(store, viewsFrom(...referers))
  for (const referer of new Set(referers)) {
    const { hostname } = new URL(referer)
    await damage({ kind: 'rows tampered', referer, says: { refererHost: hostname } })
  }
  await store.rebuild(KEEP)
}

async function referrers(store: Store, post: string | null = null) {
  return (await referrersIn(store, post, DAY, DAY, 10)).referrers
}
