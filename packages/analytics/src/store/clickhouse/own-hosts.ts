/** The site's own hosts in ClickHouse: recorded with every agreement. */

import { ownHostsText, replacementOf } from '../own-hosts.ts'
import type { AskedHosts } from '../store.ts'
import type { Cluster } from './connection.ts'
import { type Engine, readState, recordSettings } from './state.ts'

/** Every list that was recorded, the one that holds first. */
export async function recordedLists(cluster: Cluster): Promise<string[]> {
  const first = await cluster.first()
  const rows = await first.all(
    `SELECT site_hosts
     FROM post_view_settings
     ORDER BY epoch DESC, agreement DESC, _block_number, _block_offset
     LIMIT 1 BY epoch, agreement`,
  )
  return rows.map(row => String(row['site_hosts']))
}

/** Records the list unless it holds already, or was replaced and nobody goes back to it; says what it replaced. */
export async function agreeOnHosts(engine: Engine, asked: AskedHosts): Promise<string[]> {
  const replaced = replacementOf(asked, await recordedLists(engine.cluster))
  if (replaced === null) return []
  const state = await readState(engine.cluster)
  await recordSettings(engine, { ...state, agreement: state.agreement + 1, ownHosts: asked.ownHosts! })
  const now = await readState(engine.cluster)
  // Somebody else was first.
  if (ownHostsText(now.ownHosts) !== ownHostsText(asked.ownHosts!)) return agreeOnHosts(engine, asked)
  return [replaced]
}
