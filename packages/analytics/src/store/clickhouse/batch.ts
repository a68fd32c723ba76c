/**
 * A batch: the rows of one insert, on one shard, under one label. What it adds to every number follows from the rows
 * that are committed and from their order alone, so whoever counts it gets the same, and may do it twice.
 */

import { crc32 } from 'node:zlib'
import type { Day } from '../calendar.ts'
import { BatchCounts, type Count } from '../counts.ts'
import { BatchReaders } from '../readers.ts'
import type { KeptRow } from '../row.ts'
import { StoreRefused } from '../store.ts'
import type { Cluster, Row, Shard } from './connection.ts'
import { homeOf } from './labels.ts'
import { agreedState, COMMITTED, type Engine, type State } from './state.ts'

/** What counting needs of a row. */
export type CountedRow = Pick<
  KeptRow,
  'postUuid' | 'day' | 'slice' | 'visitor' | 'loggedIn' | 'bot' | 'viewedAt' | 'refererHost'
>

export interface Batch {
  label: string
  /** Rows that are the first of their id. */
  rows: readonly CountedRow[]
}

/** What the figures say beside numbers. Unix seconds. */
export interface Committed {
  at: number
  latestViewedAt: number
}

/** `UUIDToNum` of labels, as SQL: the form that the index on them serves. */
export function numbersOf(labels: readonly string[]): string {
  return labels.map(label => `UUIDToNum(toUUID('${label}'))`).join(', ')
}

/** Which of many shards keeps what belongs to a key: the ids of deliveries, the posts of visitors. */
export function shardOf(key: string, shards: number): number {
  return shards === 1 ? 0 : crc32(key) % shards
}

/** The same as SQL: whether that shard, from 0, keeps it. */
export function isOfShard(key: string, shard: number, shards: number): string {
  return shards === 1 ? 'true' : `CRC32(${key}) % ${shards} = ${shard}`
}

/**
 * Lists the readers of the batches, finds out which of them are the first of their window, and writes what each batch
 * adds: in one insert, so that all of them are counted or none, and done from then on.
 */
export async function countBatches(
  engine: Engine,
  state: State,
  batches: readonly Batch[],
  committed: Committed,
): Promise<void> {
  const { cluster, settings } = engine
  const shards = await cluster.shards()
  const counts = batches.map(({ label, rows }) => {
    const count = new BatchCounts(settings.bots)
    for (const row of rows) count.add(row as KeptRow, false)
    return { label, rows, count }
  })

  const readers = readerLines(counts, shards.length, state)
  await Promise.all(shards.map((shard, index) => listReaders(shard, readers[index]!)))
  const countOf = new Map(counts.map(({ label, count }) => [label, count]))
  const labels = batches.map(({ label }) => label)
  await Promise.all([
    ...shards.map(async (shard, index) => {
      if (readers[index]!.length === 0) return
      const days = new Set(batches.flatMap(({ rows }) => rows.map(({ day }) => day)))
      for (const row of await shard.all(uniquesOf(labels, [...days], state))) {
        countOf
          .get(String(row['first']))!
          .addUnique(String(row['post_uuid']), String(row['day']), Number(row['readers']))
      }
    }),
    assertEpoch(engine, state),
  ])

  const lines = counts.flatMap(({ label, count }) => figureLines(label, count, committed))
  const home = shards[homeOf(labels[0]!, shards.length)]!
  await home.insert('post_view_figures', FIGURE_COLUMNS, lines.join('\n'))
}

/** What was derived under other settings must not be counted any more. */
async function assertEpoch(engine: Engine, { agreement, epoch }: State): Promise<void> {
  const now = await agreedState(engine, agreement)
  if (now.epoch !== epoch) throw new StoreRefused('the settings were changed meanwhile')
}

/** A line for each reader of each batch, by the post's shard. */
function readerLines(
  batches: readonly { label: string; rows: readonly CountedRow[]; count: BatchCounts }[],
  shards: number,
  { epoch }: State,
): string[][] {
  const lines: string[][] = Array.from({ length: shards }, () => [])
  for (const { label, rows, count } of batches) {
    const readers = new BatchReaders()
    for (const row of rows) if (count.counts(row as KeptRow)) readers.add(row)
    for (const { day, postUuid, slice, visitors } of readers.windows()) {
      const shard = lines[shardOf(postUuid, shards)]!
      for (const visitor of visitors)
        shard.push(`["${day}","${postUuid}",${slice},"${visitor}",${epoch},"${label}"]`)
    }
  }
  return lines
}

export const READER_COLUMNS = 'day, post_uuid, slice, visitor, epoch, batch'

// Over several days this is several parts, not one: what is missing after a crash is listed by whoever counts the batch.
async function listReaders(shard: Shard, lines: readonly string[]): Promise<void> {
  if (lines.length > 0) await shard.insert('post_view_visitors', READER_COLUMNS, lines.join('\n'))
}

/** How many readers each batch is the first with, by post and day. */
function uniquesOf(labels: readonly string[], days: readonly Day[], { epoch }: State): string {
  const listed = `day IN (${days.map(day => `'${day}'`).join(', ')}) AND epoch = ${epoch}`
  return `
    SELECT first, post_uuid, day, count() AS readers
    FROM (
      SELECT day, post_uuid, argMin(batch, ${COMMITTED}) AS first
      FROM post_view_visitors
      WHERE ${listed} AND reader IN (
        SELECT reader
        FROM post_view_visitors
        WHERE ${listed} AND UUIDToNum(batch) IN (${numbersOf(labels)})
      )
      GROUP BY day, post_uuid, slice, visitor
    )
    WHERE first IN (${labels.map(label => `'${label}'`).join(', ')})
    GROUP BY first, post_uuid, day`
}

export const FIGURE_COLUMNS =
  'kind, post_uuid, day, host, minute, batch, version, views, unique_views, logged_in, bots, first_viewed_at, last_viewed_at, committed_at'

const NO_DAY = '1970-01-01'

function figureLines(label: string, counts: BatchCounts, { at, latestViewedAt }: Committed): string[] {
  const line = (kind: string, post: string, day: Day, host: string, minute: number, count: Partial<Count>) =>
    `["${kind}","${post}","${day}",${host === '' ? '""' : JSON.stringify(host)},${minute},"${label}",0,${count.views ?? 0},${count.unique ?? 0},${count.loggedIn ?? 0},${count.bots ?? 0},${count.first ?? null},${count.last ?? null},${at}]`
  return [
    line('batch', '', NO_DAY, '', 0, { views: counts.rows, last: latestViewedAt }),
    ...counts.siteDays().map(count => line('site', '', count.day, '', 0, count)),
    ...counts
      .siteReferrers()
      .map(({ day, host, views }) => line('site_referrer', '', day, host, 0, { views })),
    ...counts.minutes().map(({ minute, views }) => line('minute', '', NO_DAY, '', minute, { views })),
    ...counts.postDays().map(count => line('post', count.postUuid, count.day, '', 0, count)),
    ...counts
      .referrers()
      .map(({ postUuid, day, host, views }) => line('referrer', postUuid, day, host, 0, { views })),
  ]
}

/** Those of the batches that are counted, wherever they keep their figures. */
export async function doneOf(cluster: Cluster, labels: readonly string[]): Promise<Set<string>> {
  const shards = await cluster.shards()
  const found = await Promise.all(
    shards.map((shard, index) => {
      const here = labels.filter(label => homeOf(label, shards.length) === index)
      return here.length === 0 ? [] : shard.all(selectDone(here))
    }),
  )
  return new Set(found.flat().map(row => String(row['batch'])))
}

function selectDone(labels: readonly string[]): string {
  return `
    SELECT batch FROM post_view_figures
    WHERE kind = 'batch' AND post_uuid = '' AND day = '${NO_DAY}' AND host = '' AND minute = 0
      AND UUIDToNum(batch) IN (${numbersOf(labels)})`
}

/** The ids of a batch of which an earlier row was committed, each with that row's batch. */
export async function countedBefore(
  shard: Shard,
  label: string,
  where = 'true',
): Promise<Map<string, string>> {
  const rows = await shard.all(
    `SELECT id, argMin(batch, ${COMMITTED}) AS first
     FROM post_view_deliveries
     WHERE UUIDToNum(id) IN (
       SELECT UUIDToNum(id) FROM post_view_deliveries WHERE ${where} AND UUIDToNum(batch) = ${numbersOf([label])}
     )
     GROUP BY id
     HAVING first != '${label}'`,
  )
  return new Map(rows.map(row => [String(row['id']), String(row['first'])]))
}

/** The rows of a committed batch that are the first of their ids. */
export async function firstRowsOf(
  shard: Shard,
  label: string,
): Promise<(CountedRow & { id: string; epoch: number })[]> {
  const before = await countedBefore(shard, label)
  const rows = await shard.all(
    `SELECT id, epoch, post_uuid, day, slice, lower(hex(visitor)) AS visitor, logged_in, bot,
            toUnixTimestamp(viewed_at) AS viewed_at, referer_host
     FROM post_view_deliveries
     WHERE UUIDToNum(batch) = ${numbersOf([label])}
     ORDER BY _block_number, _block_offset
     LIMIT 1 BY id`,
  )
  return rows.filter(row => !before.has(String(row['id']))).map(toCountedRow)
}

function toCountedRow(row: Row): CountedRow & { id: string; epoch: number } {
  return {
    id: String(row['id']),
    epoch: Number(row['epoch']),
    postUuid: String(row['post_uuid']),
    day: String(row['day']),
    slice: Number(row['slice']),
    visitor: String(row['visitor']),
    loggedIn: Number(row['logged_in']) === 1,
    bot: Number(row['bot']) === 1,
    viewedAt: Number(row['viewed_at']),
    refererHost: String(row['referer_host']),
  }
}
