/** A lease for work of one process at a time, beside consumers: `post_view_agreed` has its holder and its end. */

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { StoreUnavailable } from '../failures.ts'
import { agree, latestEntry } from './agreed.ts'
import type { Cluster } from './connection.ts'
import type { Engine } from './state.ts'

export const LEASE = 'lease'
export const LEASE_SECONDS = 120
/** A lease that runs longer comes from a wrong clock, and is ignored. */
const CLOCKS_DIFFER_SECONDS = 2 * 3_600
const RENEW_MS = (LEASE_SECONDS / 4) * 1_000
/** Longer than the lease of a process that died. */
const PATIENCE_MS = 150_000
const PAUSE_MS = 1_000

interface Held {
  holder: string
  /** Unix seconds. */
  until: number
}

/**
 * Runs the work under the lease; null while another has it, also one that died, until it runs out.
 *
 * @param now Unix seconds
 */
export async function underLease<T>(
  cluster: Cluster,
  now: number,
  work: () => Promise<T>,
): Promise<T | null> {
  const holder = randomUUID()
  const started = performance.now()
  const take = (forSeconds: number) =>
    takeLease(cluster, holder, now + Math.floor((performance.now() - started) / 1_000), forSeconds)
  if (!(await take(LEASE_SECONDS))) return null
  let renewing: Promise<unknown> = Promise.resolve()
  // If a renewal fails, three more follow before the lease runs out.
  const renewal = setInterval(() => {
    renewing = take(LEASE_SECONDS).catch(() => {})
  }, RENEW_MS)
  try {
    return await work()
  } finally {
    clearInterval(renewal)
    await renewing
    // If this fails, an earlier error matters more, and the lease runs out by itself.
    await take(0).catch(() => {})
  }
}

/** Waits for the lease, then runs the work under it. */
export async function exclusively<T>({ cluster }: Engine, work: () => Promise<T>): Promise<T> {
  const giveUpAt = performance.now() + PATIENCE_MS
  for (;;) {
    const done = await underLease(cluster, Math.floor(Date.now() / 1_000), async () => ({
      value: await work(),
    }))
    if (done !== null) return done.value
    if (performance.now() > giveUpAt) {
      throw new StoreUnavailable('a prune or another rebuild is running: run this again afterwards')
    }
    await sleep(PAUSE_MS)
  }
}

async function takeLease(
  cluster: Cluster,
  holder: string,
  now: number,
  forSeconds: number,
): Promise<boolean> {
  const latest = await latestEntry(await cluster.first(), LEASE)
  const held = latest === null ? null : (JSON.parse(latest.value) as Held)
  const isHeld =
    held !== null && held.until > now && held.until <= now + LEASE_SECONDS + CLOCKS_DIFFER_SECONDS
  if (isHeld && held.holder !== holder) return false
  const until = forSeconds === 0 ? 0 : now + forSeconds
  const value = JSON.stringify({ holder, until } satisfies Held)
  return (await agree(cluster, LEASE, { number: (latest?.number ?? 0) + 1, value })) === value
}
