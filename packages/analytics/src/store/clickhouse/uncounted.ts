/**
 * Which rows of a shard are not counted yet.
 *
 * - A plain table gives each block a number when the block becomes visible, in one order for all partitions. Whoever sees block n
 *   sees all blocks before it, so one number says how far the table is counted. After a restart the server may use numbers a second
 *   time (those of dropped parts, or of blocks lost in a power cut), and a restored table starts with 1. Then the rows that this
 *   may affect are counted again.
 * - A replicated table gives each block a number before it is committed, and counts in each partition separately. So a block with a
 *   lower number may appear later, but Keeper never uses a number twice. For each partition we store the ranges of block numbers
 *   that were counted. No block appears later within the range of a part, because parts are merged only when no block between them
 *   is missing.
 */

import type { Shard } from './connection.ts'
import { PARTS } from './sql.ts'
import { passOldStamps } from './stamp.ts'

/** Blocks committed within this time before a server ended may be lost, and their numbers used again. */
const LOST_SECONDS = 600

type Range = [first: number, last: number]

export interface Listing {
  /** The partitions with something that is not counted yet. */
  hours: number[]
  /** As SQL: which of their rows are not counted; null if all have to be counted again. */
  since: string | null
  /** The server was restarted, which has to be recorded even if no row is new. */
  isRestart: boolean
  /** Unix seconds: whatever was committed before is counted, or listed here. */
  asOf: number
  /** For a plain table: the greatest number so far, and the table that it belongs to. */
  block: number
  tableUuid: string
  /** Unix seconds. */
  started: number
  /** For a replicated table: the block ranges of the listed partitions. */
  ranges: Map<number, Range[]>
}

const TABLE = `system.tables WHERE database = currentDatabase() AND name = 'post_view_rows'`

/** As SQL: the last roll, and whether its numbers are still valid. `started`, from two whole seconds, may be off by one. */
const LAST_ROLL = `(SELECT argMax((stamp, block, table_uuid, started, toUnixTimestamp(as_of)), (stamp, as_of)) FROM post_view_rolled) AS rolled,
  (SELECT any(uuid) FROM ${TABLE}) AS table_uuid,
  toUnixTimestamp(now()) - uptime() AS started,
  rolled.3 = table_uuid AS is_same_table,
  is_same_table AND abs(toInt64(rolled.4) - started) <= 1 AS is_same_start`

/** What a shard has committed so far, and what of that is not counted. */
export function list(shard: Shard): Promise<Listing> {
  return shard.isReplicated ? listReplicated(shard) : listPlain(shard)
}

async function listPlain(shard: Shard): Promise<Listing> {
  const [row] = await shard.all(
    `WITH ${LAST_ROLL}
     SELECT rolled.2 AS rolled_block, rolled.4 AS rolled_started, rolled.5 AS rolled_as_of, table_uuid,
            toUnixTimestamp(now()) AS now, started, is_same_table, is_same_start, max(max_block_number) AS block,
            groupUniqArrayIf(toUInt32(partition), NOT is_same_table OR max_block_number > rolled.2
              OR NOT is_same_start AND toUnixTimestamp(modification_time) + ${LOST_SECONDS} >= rolled.5) AS hours
     FROM ${PARTS}`,
  )
  if (Number(row!['is_same_table']) === 0) await passOldStamps(shard)
  const isSameStart = Number(row!['is_same_start']) === 1
  const rolledBlock = Number(row!['rolled_block'])
  return {
    hours: (row!['hours'] as unknown[]).map(Number),
    since: isSameStart ? `_block_number > ${rolledBlock}` : null,
    isRestart: !isSameStart,
    asOf: isSameStart ? Math.max(Number(row!['now']), Number(row!['rolled_as_of'])) : Number(row!['now']),
    // The part with the greatest number may have been dropped.
    block: Math.max(Number(row!['block']), isSameStart ? rolledBlock : 0),
    tableUuid: String(row!['table_uuid']),
    started: Number(row![isSameStart ? 'rolled_started' : 'started']),
    ranges: new Map(),
  }
}

/** As SQL: the partitions with uncounted blocks. `parts`: the ranges of all their parts; `counted`: the ranges that are counted. */
const UNCOUNTED = `SELECT hour, groupArray((first, last)) AS parts, any(blocks) AS counted, min(modified) AS modified FROM (
    SELECT p.hour AS hour, p.first AS first, p.last AS last, p.modified AS modified, c.blocks AS blocks
    FROM (SELECT toUInt32(partition) AS hour, toUInt64(min_block_number) AS first, toUInt64(max_block_number) AS last,
                 toUnixTimestamp(modification_time) AS modified
          FROM ${PARTS}) AS p
    LEFT ANY JOIN (SELECT hour, blocks FROM post_view_counted FINAL) AS c ON c.hour = p.hour)
  GROUP BY hour
  HAVING NOT arrayAll(part -> arrayExists(range -> range.1 <= part.1 AND part.2 <= range.2, counted), parts)`

async function listReplicated(shard: Shard): Promise<Listing> {
  const [now] = await shard.all('SELECT toUnixTimestamp(now()) AS now')
  const rows = await shard.all(`${UNCOUNTED} ORDER BY hour`)
  const ranges = new Map(rows.map(row => [Number(row['hour']), joined(row['parts'] as Range[])]))
  // Nothing is recorded as counted: the tables may have been restored.
  if (rows.length > 0 && rows.every(row => (row['counted'] as Range[]).length === 0))
    await passOldStamps(shard)
  const counted = rows.flatMap(row => {
    const blocks = (row['counted'] as Range[]).map(
      ([first, last]) => `_block_number BETWEEN ${first} AND ${last}`,
    )
    return blocks.length === 0 ? [] : [`(hour = ${row['hour']} AND (${blocks.join(' OR ')}))`]
  })
  return {
    hours: [...ranges.keys()],
    since: counted.length === 0 ? 'true' : `NOT (${counted.join(' OR ')})`,
    isRestart: false,
    asOf: Number(now!['now']),
    block: 0,
    tableUuid: NO_TABLE,
    started: 0,
    ranges,
  }
}

const NO_TABLE = '00000000-0000-0000-0000-000000000000'

/** Ranges that touch become one. */
function joined(ranges: readonly Range[]): Range[] {
  const all: Range[] = []
  for (const [first, last] of ranges.toSorted(([a], [b]) => a - b)) {
    const before = all.at(-1)
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last)
    else all.push([first, last])
  }
  return all
}

/** Records the listed blocks as counted, under a stamp. */
export async function recordRolled(
  shard: Shard,
  { block, tableUuid, started, asOf, ranges }: Listing,
  stamp: number,
  [committed, viewed]: unknown[],
): Promise<void> {
  if (ranges.size > 0) {
    const lines = [...ranges].map(([hour, blocks]) => JSON.stringify([hour, blocks, stamp]))
    await shard.insert('post_view_counted', 'hour, blocks, stamp', lines.join('\n'))
  }
  await shard.insert(
    'post_view_rolled',
    'stamp, block, table_uuid, started, as_of, committed_at, viewed_at',
    JSON.stringify([stamp, block, tableUuid, started, asOf, committed, viewed]),
  )
}

/** Unix seconds: everything that this shard committed before is counted. Null: everything is counted, up to now. */
export async function countedUntil(shard: Shard): Promise<number | null> {
  const [row] = await shard.all(
    shard.isReplicated
      ? `SELECT count() = 0 AS is_all, (SELECT toUnixTimestamp(max(as_of)) FROM post_view_rolled) AS rolled,
                if(rolled > 0, rolled, min(modified)) AS moment
         FROM (${UNCOUNTED})`
      : `WITH ${LAST_ROLL}
         SELECT count() = 0 OR is_same_start AND max(max_block_number) <= rolled.2 AS is_all,
                if(rolled.5 > 0, rolled.5, toUnixTimestamp(min(modification_time))) AS moment
         FROM ${PARTS}`,
  )
  return Number(row!['is_all']) === 1 ? null : Number(row!['moment'])
}
