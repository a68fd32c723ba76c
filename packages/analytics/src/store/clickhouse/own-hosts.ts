/** The site's own hosts in ClickHouse: recorded with every agreement. */

import { ownHostsText, replacementOf } from '../own-hosts.ts'
import type { AskedHosts } from '../store.ts'
import type { Cluster } from './connection.ts'
import { type Engine, readState, recordSettings, type State } from './state.ts'

/** Every list that was ever recorded, the latest first: it is the one that holds. */
export async function recordedLists(cluster: Cluster): Promise<string[]> {
  return (await agreements(cluster)).map(({ hosts }) => hosts)
}

/** Records the list that a process asks for, unless it holds already or was replaced before; says what it replaced. */
export async function agreeOnHosts(engine: Engine, asked: AskedHosts): Promise<string[]> {
  for (;;) {
    const state = await readState(engine.cluster)
    const before = await agreements(engine.cluster)
    // Somebody else has recorded something meanwhile.
    if (before[0]!.number !== numberOf(state)) continue
    const replaced = replacementOf(
      asked,
      before.map(({ hosts }) => hosts),
    )
    if (replaced === null) return []
    const next = { ...state, agreement: state.agreement + 1, ownHosts: asked.ownHosts! }
    await recordSettings(engine, next)
    // Of those who recorded this number the first one counts.
    const recorded = (await agreements(engine.cluster)).find(({ number }) => number === numberOf(next))
    if (recorded?.hosts === ownHostsText(next.ownHosts)) return [replaced]
  }
}

/** Which agreement it is, so that two can be told apart. */
function numberOf({ epoch, agreement }: Pick<State, 'epoch' | 'agreement'>): string {
  return `${epoch}/${agreement}`
}

/** The latest first. */
async function agreements(cluster: Cluster): Promise<{ number: string; hosts: string }[]> {
  const first = await cluster.first()
  const rows = await first.all(
    `SELECT epoch, agreement, site_hosts
     FROM post_view_settings
     ORDER BY epoch DESC, agreement DESC, _block_number, _block_offset
     LIMIT 1 BY epoch, agreement`,
  )
  return rows.map(({ epoch, agreement, site_hosts }) => ({
    number: numberOf({ epoch: Number(epoch), agreement: Number(agreement) }),
    hosts: String(site_hosts),
  }))
}
