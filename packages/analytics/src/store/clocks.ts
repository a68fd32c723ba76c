/** Compares the clock of this host with that of the database server. Without a server there is nothing to compare with. */

import { ClocksDiffer } from './failures.ts'

/** More than the clocks of neglected hosts differ, and too little to matter for retention. */
const MAY_DIFFER_SECONDS = 3_600

/**
 * @param serverClock asks the server: Unix seconds
 * @throws {ClocksDiffer}
 */
export async function assertClocksAgree(serverClock: () => Promise<number>): Promise<void> {
  const server = await serverClock()
  const own = Date.now() / 1_000
  if (Math.abs(own - server) <= MAY_DIFFER_SECONDS) return
  throw new ClocksDiffer(
    `the clock of this host says ${iso(own)}, that of the database server ${iso(server)}: correct the wrong one, then run this again; nothing was removed`,
  )
}

function iso(unixSeconds: number): string {
  return new Date(unixSeconds * 1_000).toISOString().replace(/\.\d{3}/, '')
}
