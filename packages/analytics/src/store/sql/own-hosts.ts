/** The site's own hosts in an SQL database: each list replaces the one before, and the latest is valid. */

import type { AskedHosts } from '../own-hosts.ts'
import { type OwnHosts, ownHostsText, recordedOwnHosts, replacementOf } from '../own-hosts.ts'
import { raiseAgreement } from './agreement.ts'
import type { SqlClient, SqlEngine } from './sql.ts'

/** Every list that was ever recorded, the latest first: that one is valid. */
export async function recordedLists(client: SqlClient): Promise<string[]> {
  const rows = await client.all('SELECT hosts FROM post_view_site_hosts ORDER BY number DESC')
  return rows.map(row => String(row['hosts']))
}

export async function ownHosts(client: SqlClient): Promise<OwnHosts> {
  const [row] = await client.all('SELECT hosts FROM post_view_site_hosts ORDER BY number DESC LIMIT 1')
  return recordedOwnHosts(String(row!['hosts']))
}

/** Records the list that a process asks for, unless it is valid already or was replaced before; returns in words what it replaced. */
export async function agreeOnHosts(engine: SqlEngine, asked: AskedHosts): Promise<string[]> {
  if (asked.ownHosts === null) return []
  const text = ownHostsText(asked.ownHosts)
  return engine.exclusive(async client => {
    const lists = await recordedLists(client)
    const replaced = replacementOf(asked, lists)
    if (replaced === null) return []
    await client.run('INSERT INTO post_view_site_hosts (number, hosts, recorded_at) VALUES (?, ?, ?)', [
      lists.length + 1,
      text,
      Math.floor(Date.now() / 1_000),
    ])
    // Rows derived under the list before must not be counted beside rows derived under this one.
    await raiseAgreement(client)
    return [replaced]
  })
}
