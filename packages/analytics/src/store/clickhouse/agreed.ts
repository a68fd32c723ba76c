/**
 * What all processes agree on: numbered entries under a name. Whoever's entry of a number was committed first on the first
 * shard is the one that holds, so two who write the same number learn which of them was. The other shards are told the
 * numbers alone: there, an insert looks whether what its rows were derived under still holds.
 */

import type { Cluster, Shard } from './connection.ts'

export interface Entry {
  number: number
  value: string
}

/** The entries of a name that hold, the latest first. */
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

/** The latest entry of each name that begins so, by what follows. */
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

/** Writes an entry, unless its number is taken. Returns the value that holds: its own only if nobody was first. */
export async function agree(cluster: Cluster, name: string, { number, value }: Entry): Promise<string> {
  const [first, ...others] = await cluster.shards()
  await write(first!, name, number, value)
  const [row] = await first!.all(
    `SELECT value FROM post_view_agreed WHERE name = {name:String} AND number = {number:UInt64}
     ORDER BY _block_number, _block_offset LIMIT 1`,
    { name, number },
  )
  await Promise.all(others.map(shard => write(shard, name, number, '')))
  return String(row!['value'])
}

/** Raises a number that has no value, on every shard. */
export async function raise(cluster: Cluster, name: string, number: number): Promise<void> {
  for (const shard of await cluster.shards()) await write(shard, name, number, '')
}

/** Tells the other shards what somebody who died has told the first one alone. */
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

/** Of one shard, whoever else writes the same. */
export async function write(shard: Shard, name: string, number: number, value: string): Promise<void> {
  await shard.insert('post_view_agreed', 'name, number, value', JSON.stringify([name, number, value]))
}
