/** Who may do what only one may do at a time. Whoever dies at it is waited for until the lease runs out. */

import type { SqlClient, SqlEngine } from './sql.ts'

export const LEASE_SECONDS = 120
/** Clocks of two hosts may be so far apart. A lease that runs longer is of a clock that was wrong, and holds nobody up. */
const CLOCKS_DIFFER_SECONDS = 2 * 3_600

/**
 * Takes the lease, or holds it longer; false where another has it. Call it in the transaction of the work.
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

/** Where this fails, what went wrong before is what tells, and the lease runs out. */
export async function giveUpLease(engine: SqlEngine, name: string, holder: string): Promise<void> {
  await engine
    .exclusive(client =>
      client.run('DELETE FROM post_view_leases WHERE name = ? AND holder = ?', [name, holder]),
    )
    .catch(() => {})
}
