/** A ClickHouse on two shards, for tests of its specifics, and stores on it that are closed when the test ends. */

import type { TestContext } from 'node:test'
import type { AskedSettings, CountingSettings } from '../../packages/analytics/src/store/counting-settings.ts'
import { openStore } from '../../packages/analytics/src/store/open.ts'
import type { Store } from '../../packages/analytics/src/store/store.ts'
import { atEnd } from './at-end.ts'
import { clickhouseUrl, ownCluster, queryShard } from './clickhouse.ts'
import { startTcpProxy, type TcpProxy, type Verdict } from './tcp-proxy.ts'

export const SETTINGS: CountingSettings = { timeZone: 'UTC', windowHours: 24, uniqueBy: 'ip', bots: 'count' }

export async function opened(
  t: TestContext,
  url: string,
  settings: AskedSettings = SETTINGS,
): Promise<Store> {
  const store = await openStore(url, settings)
  atEnd(t, () => store.close())
  return store
}

/** The cluster of a test file, shared by its tests. */
export function twoShards() {
  const cluster = ownCluster(2)

  /** A new database on both shards. */
  async function onTwoShards(t: TestContext, settings = SETTINGS) {
    const servers = await cluster()
    const database = await servers.database()
    const url = clickhouseUrl(servers, database)
    const open = (at = url, others = settings) => opened(t, at, others)
    const store = await open()
    await store.migrate()
    const sql = async (statement: string) => {
      const rows = await Promise.all(servers.shards.map(shard => queryShard(shard, database, statement)))
      return rows.flat()
    }
    return { servers, database, url, open, store, sql }
  }

  /** A store that reaches the first shard through a proxy, and the second one directly. */
  async function throughProxy(t: TestContext) {
    const two = await onTwoShards(t)
    const { port } = two.servers.shards[0]!
    const proxy = await startTcpProxy(port)
    atEnd(t, () => proxy.close())
    const store = await two.open(two.url.replace(`:${port},`, `:${proxy.port},`))
    return { ...two, straight: two.store, proxy, store }
  }

  return { cluster, onTwoShards, throughProxy }
}

/** Once these words were sent to the server, the verdict applies to its answers. */
export function onceSaid(proxy: TcpProxy, words: string, fate: Verdict): void {
  let isSaid = false
  // A chunk may end in the middle of the words.
  const ends = new Map<number, string>()
  proxy.intercept(({ direction, bytes, connection }) => {
    if (direction === 'to-client') return isSaid ? fate : 'pass'
    const said = (ends.get(connection) ?? '') + bytes.toString('latin1').replace(/[%+]/g, ' ')
    isSaid ||= said.includes(words)
    ends.set(connection, said.slice(1 - words.length))
    return 'pass'
  })
}
