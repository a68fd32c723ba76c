/** Leases for work that only one process may do at a time. If the holder dies, others wait until the lease expires. */

import type { SqlClient, SqlEngine } from './sql.ts'

export const LEASE_SECONDS = 120
/** The clocks of two hosts may differ by this much. A lease that ends even later is from a wrong clock, and is ignored. */
const CLOCKS_DIFFER_SECONDS = 2 * 3_600

/**
 * Takes the lease, or extends it; false if another process has it. Call it in the transaction of the work.
 *
 * @param now Unix seconds
 */
export async function holdLease(
  client: SqlClient,
  name: string,
  holder: string,
  now: number,
  seconds = LEASE_SECONDS,
): Promise<boolean> {
  const [lease] = await client.all('SELECT holder, expires_at FROM post_view_leases WHERE name = ?', [name])
  if (lease !== undefined && lease['holder'] !== holder) {
    const left = Number(lease['expires_at']) - now
    if (left > 0 && left <= seconds + CLOCKS_DIFFER_SECONDS) return false
  }
  await client.run('DELETE FROM post_view_leases WHERE name = ?', [name])
  await client.run('INSERT INTO post_view_leases (name, holder, expires_at) VALUES (?, ?, ?)', [
    name,
    holder,
    now + seconds,
  ])
  return true
}

/** A failure here is ignored: an earlier error matters more, and the lease expires by itself. */
export async function giveUpLease(engine: SqlEngine, name: string, holder: string): Promise<void> {
  await engine
    .exclusive(client =>
      client.run('DELETE FROM post_view_leases WHERE name = ? AND holder = ?', [name, holder]),
    )
    .catch(() => {})
}
