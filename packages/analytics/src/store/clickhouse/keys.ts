/**
 * The keys that hash the readers of a day, in `post_view_agreed` under `key DAY`. Each day has a random key of its own. An
 * empty value means that the day was closed and its key destroyed; a day that is opened again gets another key.
 */

import { hash, randomBytes } from 'node:crypto'
import type { Day } from '../days.ts'
import { agree, forgetClaims, latestEntries, latestEntry } from './agreed.ts'
import type { Cluster } from './connection.ts'

/** A key of a day, and its number among the day's keys. */
export interface DayKey {
  number: number
  secret: string
}

/** In `post_view_agreed`: the secret for adopting settings, at twice their epoch; one number above, that it is destroyed. */
const PASSING = 'secret of settings'

/** Prefix of the secret of a day that is being opened again: some of its rows are still hashed under the old key. */
const OPENING = 'opening '

/**
 * The day's key, made when it is first asked for.
 *
 * @param hashAgain hashes the readers of a closed day under its new key; may run twice
 */
export async function dayKey(
  cluster: Cluster,
  day: Day,
  hashAgain: (key: DayKey) => Promise<void>,
): Promise<DayKey> {
  const first = await cluster.first()
  const name = `key ${day}`
  for (;;) {
    const latest = await latestEntry(first, name)
    if (latest === null) {
      await agree(cluster, name, { number: 1, value: newSecret() })
    } else if (latest.value === '') {
      await agree(cluster, name, { number: latest.number + 1, value: OPENING + newSecret() })
    } else if (latest.value.startsWith(OPENING)) {
      // The process that began to open it may have died.
      const secret = latest.value.slice(OPENING.length)
      const number = latest.number + 1
      await hashAgain({ number, secret })
      await agree(cluster, name, { number, value: secret })
    } else {
      return { number: latest.number, secret: latest.value }
    }
  }
}

/**
 * The secret under which the readers of a closed day are hashed again while other settings are applied. Every process that goes
 * on with this gets the same one, so that a reader whose rows are processed in two runs stays one.
 */
export async function passingSecret(cluster: Cluster, epoch: number, day: Day): Promise<string> {
  const secret = await agree(cluster, PASSING, { number: 2 * epoch, value: newSecret() })
  // Destroyed already: readers of rows that come this late cannot be matched with any others.
  return secret === '' ? newSecret() : hash('sha256', secret + day)
}

/** From then on nobody can find out whose address a row had. */
export async function destroyPassingSecret(cluster: Cluster, epoch: number): Promise<void> {
  const latest = await latestEntry(await cluster.first(), PASSING)
  if (latest === null || latest.number > 2 * epoch) return
  await agree(cluster, PASSING, { number: 2 * epoch + 1, value: '' })
  await destroyReplaced(cluster)
}

/** The keys of the days whose views are still accepted. */
export async function dayKeys(cluster: Cluster): Promise<Map<Day, DayKey>> {
  const keys = new Map<Day, DayKey>()
  for (const [day, { number, value }] of await latestEntries(await cluster.first(), 'key ')) {
    if (value !== '' && !value.startsWith(OPENING)) keys.set(day, { number, secret: value })
  }
  return keys
}

/** The days that were closed, and not opened again. */
export async function closedDays(cluster: Cluster): Promise<Set<Day>> {
  const entries = await latestEntries(await cluster.first(), 'key ')
  return new Set([...entries].filter(([, { value }]) => value === '').map(([day]) => day))
}

/** Destroys the keys of the days, and replaced keys that a process which died has left behind. */
export async function closeDays(cluster: Cluster, keys: ReadonlyMap<Day, DayKey>): Promise<void> {
  for (const [day, { number }] of keys) await agree(cluster, `key ${day}`, { number: number + 1, value: '' })
  await destroyReplaced(cluster)
}

async function destroyReplaced(cluster: Cluster): Promise<void> {
  const first = await cluster.first()
  for (const prefix of ['key ', PASSING]) await forgetClaims(first, prefix)
  const left = await first.all(`SELECT DISTINCT name, number FROM post_view_agreed WHERE ${REPLACED}`)
  if (left.length === 0) return
  // Listed one by one, because a replicated table takes no subquery here.
  const entries = left.map(row => `('${row['name']}', ${row['number']})`)
  await first.run(
    `ALTER TABLE post_view_agreed UPDATE value = '' WHERE (name, number) IN (${entries.join(', ')}) SETTINGS mutations_sync = 2`,
  )
}

/** As SQL: secrets that are no longer valid. */
const REPLACED = `(startsWith(name, 'key ') OR name = '${PASSING}') AND value != ''
  AND (name, number) NOT IN (SELECT name, max(number) FROM post_view_agreed GROUP BY name)`

function newSecret(): string {
  return randomBytes(32).toString('hex')
}
