/**
 * A batch on its way into ClickHouse. Every delivery becomes a row; the first row of an id that is committed is the
 * view. A batch is acknowledged once everything its views belong to is counted, by whomever.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Day } from '../calendar.ts'
import { latestViewedAt } from '../counts.ts'
import { KeyReplaced } from '../key-replaced.ts'
import type { KeptRow } from '../row.ts'
import type { DerivedRows } from '../rows-of-views.ts'
import { type Recorded, RowRejected } from '../store.ts'
import { countBatches, countedBefore, doneOf, firstRowsOf, shardOf } from './batch.ts'
import type { Shard } from './connection.ts'
import { labelTimeMs, newLabels } from './labels.ts'
import { deriveBatchAgain } from './rederive.ts'
import { agreedState, dayKeys, type Engine, type State } from './state.ts'

/** So long another consumer is waited for, that is at a batch: then it is taken for dead. */
const PATIENCE_MS = 3_000
const PAUSE_MS = 30

/** The rows of one insert. */
interface Part {
  label: string
  shard: Shard
  receivedOn: Day
  rows: Identified[]
}

/** A row, by its id: given or made up. */
type Identified = [id: string, row: KeptRow]

/** The labels of calls that failed here: nobody else is at those batches. */
export class Failed {
  readonly #labels = new Set<string>()

  add(labels: readonly string[]): void {
    // Whoever finds a batch that was forgotten waits for it for a moment, in vain.
    if (this.#labels.size > 1_000) this.#labels.clear()
    for (const label of labels) this.#labels.add(label)
  }

  has(label: string): boolean {
    return this.#labels.has(label)
  }
}

export async function recordViews(
  engine: Engine,
  failed: Failed,
  { rows, keys }: DerivedRows,
  agreement: number,
): Promise<Recorded> {
  for (const row of rows) assertKeepable(row)
  const { cluster } = engine
  const state = await agreedState(engine, agreement)
  const shards = await cluster.shards()
  const once = firstOfEachId(rows)
  await refuseClosed(engine, state, shards, once, keys)

  const parts = partsOf(once, shards)
  try {
    await Promise.all(parts.map(part => insertRows(part, state.epoch)))
    const before = await Promise.all(
      parts.map(({ shard, label, receivedOn }) =>
        countedBefore(shard, label, `toDate(received_at) = '${receivedOn}'`),
      ),
    )
    const batches = parts.map(({ label, rows }, index) => ({
      label,
      rows: rows.filter(([id]) => !before[index]!.has(id)).map(([, row]) => row),
    }))
    const committed = { at: Math.floor(Date.now() / 1_000), latestViewedAt: latestViewedAt(rows) }
    await countBatches(engine, state, batches, committed)

    // Only now: two that wait for each other's batches have both counted their own.
    const others = new Map<string, Other>()
    before.forEach((ids, index) => {
      for (const label of ids.values()) {
        const other = others.get(label) ?? { shard: parts[index]!.shard, views: 0 }
        others.set(label, { ...other, views: other.views + 1 })
      }
    })
    const counted =
      batches.reduce((sum, batch) => sum + batch.rows.length, 0) +
      (await completeOthers(engine, state, failed, others))
    return { counted, duplicates: rows.length - counted }
  } catch (error) {
    failed.add(parts.map(({ label }) => label))
    throw error
  }
}

const LATEST_TIME = 2 ** 32 - 1

/** What ClickHouse would wrap round or cut is refused here, before anything is written. */
function assertKeepable({ postUuid, viewedAt, receivedAt, slice }: KeptRow): void {
  for (const time of [viewedAt, receivedAt]) {
    if (!(time >= 0 && time <= LATEST_TIME)) {
      throw new RowRejected('ClickHouse keeps times from 1970 to 2106 alone')
    }
  }
  if (!/^[\w-]+$/.test(postUuid)) throw new RowRejected('the id of a post holds what none may')
  if (slice > 255) throw new RowRejected('there are 256 windows in a day at most')
}

function firstOfEachId(rows: readonly KeptRow[]): Identified[] {
  const seen = new Map<string, KeptRow>()
  const makeUp = newLabels()
  let made = 0
  for (const row of rows) {
    // A made-up id is like any other, and nobody will ever come with it again.
    const id = row.eventId ?? makeUp(made++)
    if (!seen.has(id)) seen.set(id, row)
  }
  return [...seen]
}

/**
 * The key of a row's day may have been destroyed since its reader was hashed: whether that reader was counted, nobody can
 * tell any more. What was counted before is known all the same.
 *
 * @throws {KeyReplaced}
 */
async function refuseClosed(
  { cluster }: Engine,
  { openFrom }: State,
  shards: readonly Shard[],
  rows: readonly Identified[],
  hashedUnder: ReadonlyMap<Day, string>,
): Promise<void> {
  const late = rows.filter(([, { day }]) => openFrom !== null && day < openFrom)
  if (late.length === 0) return
  const keys = await dayKeys(await cluster.first())
  const closed = late.filter(([, { day }]) => keys.get(day) !== hashedUnder.get(day))
  const known = await Promise.all(
    shards.map((shard, index) => {
      const ids = closed.filter(([id]) => shardOf(id, shards.length) === index).map(([id]) => `'${id}'`)
      if (ids.length === 0) return []
      return shard.all(`SELECT DISTINCT id FROM post_view_deliveries WHERE id IN (${ids.join(', ')})`)
    }),
  )
  const knownIds = new Set(known.flat().map(row => String(row['id'])))
  const unknown = closed.find(([id]) => !knownIds.has(id))
  if (unknown !== undefined) throw new KeyReplaced(unknown[1].day)
}

const DAY_SECONDS = 86_400

/** One insert goes into one partition of one shard: that is what is there whole, or not at all. */
function partsOf(rows: readonly Identified[], shards: readonly Shard[]): Part[] {
  const label = newLabels()
  const parts = new Map<number, Part>()
  for (const identified of rows) {
    const [id, { receivedAt }] = identified
    const index = shardOf(id, shards.length)
    const day = Math.floor(receivedAt / DAY_SECONDS)
    const key = day * shards.length + index
    let part = parts.get(key)
    if (part === undefined) {
      const receivedOn = new Date(day * DAY_SECONDS * 1_000).toISOString().slice(0, 10)
      part = { label: label(parts.size), shard: shards[index]!, receivedOn, rows: [] }
      parts.set(key, part)
    }
    part.rows.push(identified)
  }
  return [...parts.values()]
}

/** Of `post_view_deliveries`, in the order of `deliveryOf`. */
export const DELIVERY_COLUMNS =
  'id, has_id, batch, epoch, post_uuid, user_id, ip, user_agent, referer, viewed_at, received_at, day, slice, logged_in, bot, visitor, referer_host'

async function insertRows({ label, shard, rows }: Part, epoch: number): Promise<void> {
  const lines = rows.map(identified => deliveryOf(identified, label, epoch))
  await shard.insert('post_view_deliveries', DELIVERY_COLUMNS, lines.join('\n'))
}

/** A row as a line of JSONCompactEachRow. */
export function deliveryOf([id, row]: Identified, label: string, epoch: number): string {
  return JSON.stringify([
    id,
    row.eventId !== null,
    label,
    epoch,
    row.postUuid,
    row.userId,
    row.ip,
    row.userAgent,
    row.referer,
    row.viewedAt,
    row.receivedAt,
    row.day,
    row.slice,
    Number(row.loggedIn),
    Number(row.bot),
    row.visitor,
    row.refererHost,
  ])
}

/** A batch that somebody else labelled, where its rows are, and how many views of ours it holds. */
interface Other {
  shard: Shard
  views: number
}

/**
 * Sees to it that the batches are counted that our views belong to: by whoever is at them, or else by us. Returns how
 * many views of ours were counted by us.
 */
async function completeOthers(
  engine: Engine,
  state: State,
  failed: Failed,
  others: ReadonlyMap<string, Other>,
): Promise<number> {
  const giveUpAt = performance.now() + PATIENCE_MS
  const missing = new Set(others.keys())
  for (;;) {
    for (const label of await doneOf(engine.cluster, [...missing])) missing.delete(label)
    if (performance.now() > giveUpAt || missing.values().every(label => failed.has(label))) break
    await sleep(PAUSE_MS)
  }
  let counted = 0
  for (const label of missing) {
    const { shard, views } = others.get(label)!
    await completeBatch(engine, state, shard, label)
    counted += views
  }
  return counted
}

/** Counts a batch whose consumer died at it. */
export async function completeBatch(
  engine: Engine,
  state: State,
  shard: Shard,
  label: string,
): Promise<void> {
  let rows = await firstRowsOf(shard, label)
  if (rows.some(({ epoch }) => epoch < state.epoch)) {
    await deriveBatchAgain(engine, state, shard, label)
    rows = await firstRowsOf(shard, label)
  }
  const committed = { at: Math.floor(labelTimeMs(label) / 1_000), latestViewedAt: latestOf(rows) }
  await countBatches(engine, state, [{ label, rows }], committed)
}

function latestOf(rows: readonly { viewedAt: number }[]): number {
  return rows.reduce((latest, { viewedAt }) => Math.max(latest, viewedAt), 0)
}
