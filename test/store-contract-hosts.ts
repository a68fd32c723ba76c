/** The contract, sixth part: the hosts that readers came from, and which of them are the site's own. */

import assert from 'node:assert/strict'
import type { View } from '@postviews/client'
import type { ViewRow } from '../packages/analytics/src/store/row.ts'
import type { Store } from '../packages/analytics/src/store/store.ts'
import { assertVerified, differencesIn, type Promises } from './store-contract-database.ts'
import { POST, record, toRows, view } from './support/views.ts'

const DAY = '2026-03-10'
const NOON = `${DAY}T12:00:00Z`
const KEEP = { adoptSettings: false } as const
const ADOPT = { adoptSettings: true } as const

export function hostsContract(promises: Promises): void {
  promises('keeps the hosts of rows from before www was dropped', async ({ open }) => {
    const store = await open()
    await record(store, viewsFrom('https://www.news.example/', 'https://www.news.example/'))
    await store.recordViews(await rowsOfBefore(store))
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

  promises('takes the host of a row as the row has it', async ({ open, sql }) => {
    const store = await open()
    await record(store, viewsFrom('https://a.example/', null))
    await sql(
      `UPDATE post_views SET referer_host = 'b.example', viewed_at = viewed_at WHERE post_uuid = '${POST}'`,
    )
    const found = await differencesIn(store)
    assert.deepEqual([...new Set(found.map(({ kind }) => kind))].toSorted(), ['referrer', 'site_referrer'])
    await store.rebuild(KEEP)
    await assertVerified(store)
    assert.deepEqual(await referrers(store), [{ host: 'b.example', views: 2 }])
  })
}

function viewsFrom(...referers: (string | null)[]): View[] {
  return referers.map(referer => view(NOON, { referer }))
}

/** As a version stored them that kept `www.`, and whatever a URL allows. */
async function rowsOfBefore(store: Store): Promise<ViewRow[]> {
  const referers = ['https://www.news.example/', 'https://www.news.example/', 'http://x;=1+1;y/']
  const rows = await toRows(store, viewsFrom(...referers))
  return rows.map(row => ({ ...row, refererHost: new URL(row.referer!).hostname }))
}

function referrers(store: Store, post: string | null = null) {
  return store.referrers(post, DAY, DAY, 10)
}
