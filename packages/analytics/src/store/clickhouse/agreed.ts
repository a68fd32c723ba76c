/**
 * What all processes agree on: numbered entries under a name. If several processes write the same number, the entry committed first
 * on the first shard is valid, and each of them learns which one that is. If a shard has replicas, Keeper decides who was first,
 * and only the entry in Keeper is written. The other shards get only the numbers: an insert there checks whether the settings and
 * keys of its rows are still valid.
 */

import { StoreUnavailable } from '../failures.ts'
import type { Cluster, Shard } from './connection.ts'
import { isServers } from './errors.ts'
import { quoted } from './sql.ts'

const KEEPER_EXCEPTION = 999

export interface Entry {
  number: number
  value: string
}

/** The valid entries of a name, the latest first. */
export async function entriesOf(shard: Shard, name: string, latest = 1_000_000): Promise<Entry[]> {
  const rows = await shard.all(
    `SELECT number, value
     FROM post_view_agreed
     WHERE name = {name:String}
     ORDER BY number DESC, _block_number, _block_offset
     LIMIT 1 BY number
     LIMIT {latest:UInt32}`,
    { name, latest },
  )
  return rows.map(row => ({ number: Number(row['number']), value: String(row['value']) }))
}

export async function latestEntry(shard: Shard, name: string): Promise<Entry | null> {
  return (await entriesOf(shard, name, 1))[0] ?? null
}

/** The latest entry of each name with this prefix, by the rest of the name. */
export async function latestEntries(shard: Shard, prefix: string): Promise<Map<string, Entry>> {
  const rows = await shard.all(
    `SELECT substring(name, length({prefix:String}) + 1) AS rest, number, value
     FROM post_view_agreed
     WHERE startsWith(name, {prefix:String})
     ORDER BY name, number DESC, _block_number, _block_offset
     LIMIT 1 BY name`,
    { prefix },
  )
  return new Map(
    rows.map(row => [String(row['rest']), { number: Number(row['number']), value: String(row['value']) }]),
  )
}

/** Writes an entry, unless its number is taken. Returns the valid value: its own only if nobody was first. */
export async function agree(cluster: Cluster, name: string, { number, value }: Entry): Promise<string> {
  const [first, ...others] = await cluster.shards()
  const holds = await agreeOn(first!, name, { number, value })
  await Promise.all(others.map(shard => write(shard, name, number, '')))
  await Promise.all([first!, ...others].map(shard => shard.catchUpAll(['post_view_agreed'])))
  return holds
}

/** The same on one shard alone. */
export async function agreeOn(shard: Shard, name: string, { number, value }: Entry): Promise<string> {
  if (shard.isReplicated) {
    const holds = await claim(shard, keyOf(shard, name, number), value)
    // The process that was first may have died before it wrote its entry.
    await write(shard, name, number, holds)
    return holds
  }
  await write(shard, name, number, value)
  const [row] = await shard.all(
    `SELECT value FROM post_view_agreed WHERE name = {name:String} AND number = {number:UInt64}
     ORDER BY _block_number, _block_offset LIMIT 1`,
    { name, number },
  )
  return String(row!['value'])
}

/** 0 where there is none. */
export async function latestNumber(shard: Shard, name: string): Promise<number> {
  const [row] = await shard.all(
    'SELECT max(number) AS latest FROM post_view_agreed WHERE name = {name:String}',
    { name },
  )
  return Number(row!['latest'])
}

/** Replicas commit in different orders, so Keeper decides: whoever inserts a key first owns it. Returns the owner's value. */
async function claim(shard: Shard, key: string, value: string): Promise<string> {
  try {
    // In the body, because the value may be a secret, and an address may be logged.
    await shard.insert(
      'post_view_claims',
      'key, value',
      JSON.stringify([key, value]),
      'SETTINGS keeper_map_strict_mode = 1',
    )
  } catch (error) {
    // The key is taken, or Keeper is away; the next question tells which.
    if (!isServers(error) || error.code !== KEEPER_EXCEPTION) throw error
  }
  const [row] = await shard.all('SELECT value FROM post_view_claims WHERE key = {key:String}', { key })
  if (row === undefined) throw new StoreUnavailable('ClickHouse: Keeper did not store the claim')
  return String(row['value'])
}

/** All shards share one Keeper, so the key begins with the shard's number. */
function keyOf(shard: Shard, name: string, number: number): string {
  return `${shard.number} ${name} ${number}`
}

/** Erases the values of replaced entries in Keeper, so that a destroyed secret does not survive there. */
export async function forgetClaims(shard: Shard, prefix: string): Promise<void> {
  if (!shard.isReplicated) return
  const latest = await latestEntries(shard, prefix)
  const start = keyOf(shard, prefix, 0).slice(0, -2)
  const claims = await shard.all(
    "SELECT key FROM post_view_claims WHERE startsWith(key, {start:String}) AND value != ''",
    { start },
  )
  const replaced = claims
    .map(row => String(row['key']))
    .filter(key => {
      const at = key.lastIndexOf(' ')
      const entry = latest.get(key.slice(start.length, at))
      return entry !== undefined && Number(key.slice(at + 1)) < entry.number
    })
  if (replaced.length > 0)
    await shard.run(`ALTER TABLE post_view_claims UPDATE value = '' WHERE key IN (${quoted(replaced)})`)
}

/** Removes the entries of a name from Keeper whose number is below `below`. */
export async function removeClaims(shard: Shard, name: string, below: number): Promise<void> {
  if (!shard.isReplicated) return
  const start = keyOf(shard, name, 0).slice(0, -1)
  await shard.run(
    `ALTER TABLE post_view_claims DELETE
     WHERE startsWith(key, ${quoted([start])}) AND toUInt64OrZero(substring(key, ${start.length + 1})) < ${below}`,
  )
}

/** Raises a number that has no value, on every shard. */
export async function raise(cluster: Cluster, name: string, number: number): Promise<void> {
  for (const shard of await cluster.shards()) await write(shard, name, number, '')
}

/** Copies the numbers that a process which died has written only to the first shard. */
export async function tellAll(cluster: Cluster): Promise<void> {
  const [first, ...others] = await cluster.shards()
  if (others.length === 0) return
  const lists = await Promise.all(
    [first!, ...others].map(shard => shard.all('SELECT DISTINCT name, number FROM post_view_agreed')),
  )
  const keyOf = (row: Record<string, unknown>) => `${row['number']} ${row['name']}`
  for (const [index, shard] of others.entries()) {
    const known = new Set(lists[index + 1]!.map(keyOf))
    const missing = lists[0]!.filter(row => !known.has(keyOf(row)))
    if (missing.length === 0) continue
    const lines = missing.map(row => JSON.stringify([row['name'], row['number'], '']))
    await shard.insert('post_view_agreed', 'name, number, value', lines.join('\n'))
  }
}

/** On one shard, even if others write the same. */
export async function write(shard: Shard, name: string, number: number, value: string): Promise<void> {
  await shard.insert('post_view_agreed', 'name, number, value', JSON.stringify([name, number, value]))
}
