/**
 * The keys that hash the readers of a day: `post_view_agreed` has them under `key DAY`. Random, one a day; an empty value
 * says that the day was closed, and its key destroyed. Opened again it has another.
 */

import { hash, randomBytes } from 'node:crypto'
import type { Day } from '../calendar.ts'
import { agree, forgetClaims, latestEntries, latestEntry } from './agreed.ts'
import type { Cluster } from './connection.ts'

/** The key of a day, and which of its keys that is. */
export interface DayKey {
  number: number
  secret: string
}

/** In `post_view_agreed`: the secret of an adoption of settings, at twice its epoch, and that it is destroyed, one above. */
const PASSING = 'secret of settings'

/** Before the secret of a day that is being opened again: some of its rows are still hashed under the key of before. */
const OPENING = 'opening '

/**
 * The day's key, made at its first asking.
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
      // Who began it may have died.
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
 * What the readers of a closed day are hashed under again while other settings are applied: the same whoever goes on with that,
 * so that a reader whose rows are gone through in two runs stays one.
 */
export async function passingSecret(cluster: Cluster, epoch: number, day: Day): Promise<string> {
  const secret = await agree(cluster, PASSING, { number: 2 * epoch, value: newSecret() })
  // Destroyed already: what comes so late is told apart from nothing else.
  return secret === '' ? newSecret() : hash('sha256', secret + day)
}

/** Nobody can tell from then on whose address a row had. */
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

/** Destroys the keys of the days, and what somebody who died has left of others. */
export async function closeDays(cluster: Cluster, keys: ReadonlyMap<Day, DayKey>): Promise<void> {
  for (const [day, { number }] of keys) await agree(cluster, `key ${day}`, { number: number + 1, value: '' })
  await destroyReplaced(cluster)
}

async function destroyReplaced(cluster: Cluster): Promise<void> {
  const first = await cluster.first()
  for (const prefix of ['key ', PASSING]) await forgetClaims(first, prefix)
  const left = await first.all(`SELECT DISTINCT name, number FROM post_view_agreed WHERE ${REPLACED}`)
  if (left.length === 0) return
  // By name: a replicated table takes no subquery here.
  const entries = left.map(row => `('${row['name']}', ${row['number']})`)
  await first.run(
    `ALTER TABLE post_view_agreed UPDATE value = '' WHERE (name, number) IN (${entries.join(', ')}) SETTINGS mutations_sync = 2`,
  )
}

/** As SQL: secrets that do not hold any more. */
const REPLACED = `(startsWith(name, 'key ') OR name = '${PASSING}') AND value != ''
  AND (name, number) NOT IN (SELECT name, max(number) FROM post_view_agreed GROUP BY name)`

function newSecret(): string {
  return randomBytes(32).toString('hex')
}
