/**
 * Corrects the counters of a day while consumers run. Differences are found in a snapshot, for which no batch waits, and
 * corrected in short steps: first the list of readers, by which batches recognise unique views; then the numbers, each by its
 * difference, so that what batches added meanwhile stays.
 */

import type { Day } from '../days.ts'
import { differences } from '../differences.ts'
import { corrected } from './corrected.ts'
import type { DayRecount, Listed } from './day-recount.ts'
import { DAY_COLUMNS } from './figure-columns.ts'
import {
  type Aggregate,
  hasRows,
  type Pair,
  readersAreListed,
  type StoredAggregate,
  SumOfAggregates,
  storedSite,
  sumOfStored,
  toStored,
  type VisitorKey,
} from './recount.ts'
import {
  placeholders,
  SELECT_STATE,
  type SqlClient,
  type SqlEngine,
  type SqlValue,
  type State,
  toState,
} from './sql.ts'
import { inGroups } from './steps.ts'
import { writeTotals } from './totals.ts'
import { countOfRebuilds, PutRightMeanwhile, Turn } from './turn.ts'

const READERS_AT_ONCE = 500
const POSTS_AT_ONCE = 100

export interface DayRebuild {
  engine: SqlEngine
  recount: DayRecount
  /** Called after each step; ends the work by throwing. */
  step(): void
  /** Finishes opening the days that are being opened again; null if their unique views may stay as they are. */
  untilOpen: (() => Promise<void>) | null
}

/** Returns how many values of the day were wrong. */
export async function rebuildDay(rebuild: DayRebuild, day: Day): Promise<number> {
  let fixed = 0
  for (;;) {
    const look = await lookAt(rebuild, day)
    if (rebuild.untilOpen !== null && look.hasRows && rebuild.recount.isBeingReopened) {
      await rebuild.untilOpen()
      continue
    }
    const steps = new Corrections(rebuild.engine, look.rebuilds)
    const isRight = look.hasRows
      ? (await rebuildReaders(rebuild, look, steps, day)) && (await rebuildCounts(rebuild, look, steps, day))
      : await rebuildSite(look, steps, day)
    fixed += steps.fixed
    if (isRight) return fixed
  }
}

/** What one snapshot says of the day. Its posts and readers are in the recount. */
interface Look {
  /** The number of rebuilds before. */
  rebuilds: number
  hasRows: boolean
  readersAreListed: boolean
  site: Pick<Pair<Day, Aggregate>, 'expected' | 'found'>
}

function lookAt({ engine, recount, step }: DayRebuild, day: Day): Promise<Look> {
  return engine.snapshot(async client => {
    const state = toState((await client.all(SELECT_STATE))[0]!)
    const look: Look = {
      rebuilds: await countOfRebuilds(client),
      hasRows: hasRows(state, day),
      readersAreListed: await readersAreListed(client, state, day),
      site: { expected: null, found: await storedSite(client, day) },
    }
    if (look.hasRows) await recount.read(client, day, { ...look, look: step })
    else look.site.expected = await sumOfStored(client, day)
    return look
  })
}

/** Steps that apply what was found in a snapshot, as long as nobody else has corrected anything since. */
class Corrections {
  readonly #turn: Turn
  fixed = 0

  constructor(engine: SqlEngine, rebuilds: number) {
    this.#turn = new Turn(engine, rebuilds)
  }

  /** False if another process has corrected something: then nothing was changed, and the look is void. */
  async apply(count: number, work: (client: SqlClient, state: State) => Promise<void>): Promise<boolean> {
    try {
      await this.#turn.change(work)
    } catch (error) {
      if (error instanceof PutRightMeanwhile) return false
      throw error
    }
    this.fixed += count
    return true
  }
}

/**
 * True if nothing was wrong. Otherwise the day must be looked at again: while the list was wrong, batches counted unique views by
 * it. If a reader is removed from the list whom a batch needs meanwhile, the next look lists that reader again.
 */
async function rebuildReaders(
  { recount, step }: DayRebuild,
  look: Look,
  steps: Corrections,
  day: Day,
): Promise<boolean> {
  if (!look.readersAreListed) return true
  let isRight = true
  for await (const readers of inGroups(recount.wrongReaders(), READERS_AT_ONCE)) {
    isRight = false
    const isApplied = await steps.apply(readers.length, async (client, state) => {
      // The day was closed meanwhile, and has no list any more.
      if (!(await readersAreListed(client, state, day))) return
      for (const pair of readers) await writeReader(client, day, pair)
    })
    step()
    if (!isApplied) return false
  }
  return isRight
}

async function writeReader(
  client: SqlClient,
  day: Day,
  { key, expected }: Pair<VisitorKey, Listed>,
): Promise<void> {
  const { post, postKey } = client.dialect
  const visitor = client.dialect.bytes(key.visitor)
  await client.run(
    `DELETE FROM post_view_visitors WHERE day = ? AND ${post} = ${postKey('?')} AND slice = ? AND visitor = ${visitor}`,
    [day, key.post, key.slice],
  )
  if (expected === null) return
  await client.run(
    `INSERT INTO post_view_visitors (day, post_uuid, slice, visitor, seen) VALUES (?, ?, ?, ${visitor}, ${expected.seen})`,
    [day, key.post, key.slice],
  )
}

/** True if all numbers are certain now. */
async function rebuildCounts(
  { engine, recount, step }: DayRebuild,
  look: Look,
  steps: Corrections,
  day: Day,
): Promise<boolean> {
  const sum = new SumOfAggregates()
  let isCertain = true
  let siteIsRight = false
  for await (const pairs of inGroups(recount.wrongPosts(sum), POSTS_AT_ONCE)) {
    // A group that is not full is the last one: the sum is complete, and both are written in one transaction.
    const isLast = pairs.length < POSTS_AT_ONCE
    if (isLast) look.site.expected = sum.value
    const isApplied = await steps.apply(pairs.length + Number(isLast && isWrong(look)), async client => {
      const posts = pairs.map(({ key }) => key)
      const stored = await storedOf(client, day, posts)
      for (const pair of pairs) {
        const now = stored.get(pair.key) ?? null
        const right = corrected(now, pair)
        isCertain &&= right.isCertain
        await writeAggregate(client, day, pair.key, now, right.value)
      }
      // Totals follow in the same transaction: no reader sees days that do not add up to them.
      await writeTotals(engine, client, posts)
      if (isLast) isCertain = (await correctSite(client, look, day)) && isCertain
    })
    step()
    if (!isApplied) return false
    siteIsRight = isLast
  }
  if (siteIsRight) return isCertain
  look.site.expected = sum.value
  return (await rebuildSite(look, steps, day)) && isCertain
}

async function storedOf(
  client: SqlClient,
  day: Day,
  posts: readonly string[],
): Promise<Map<string, StoredAggregate>> {
  const rows = await client.all(
    `SELECT post_uuid, baseline, ${DAY_COLUMNS.join(', ')}
     FROM post_view_aggregates
     WHERE date = ? AND post_uuid IN (${placeholders(posts.length)})`,
    [day, ...posts],
  )
  return new Map(rows.map(row => [String(row['post_uuid']), toStored(row)]))
}

async function writeAggregate(
  client: SqlClient,
  day: Day,
  post: string,
  now: StoredAggregate | null,
  right: StoredAggregate | null,
): Promise<void> {
  if (right === null) {
    await client.run('DELETE FROM post_view_aggregates WHERE post_uuid = ? AND date = ?', [post, day])
  } else if (now === null) {
    await client.run(
      `INSERT INTO post_view_aggregates (${DAY_COLUMNS.join(', ')}, post_uuid, date)
       VALUES (${placeholders(DAY_COLUMNS.length + 2)})`,
      [...numbersOf(right), post, day],
    )
  } else {
    await client.run(
      `UPDATE post_view_aggregates
       SET ${DAY_COLUMNS.map(column => `${column} = ?`).join(', ')}
       WHERE post_uuid = ? AND date = ?`,
      [...numbersOf(right), post, day],
    )
  }
}

function numbersOf(aggregate: Aggregate): SqlValue[] {
  return DAY_COLUMNS.map(column => aggregate[column])
}

/** True if the site's day is certain now. */
async function rebuildSite(look: Look, steps: Corrections, day: Day): Promise<boolean> {
  if (!isWrong(look)) return true
  let isCertain = true
  const isApplied = await steps.apply(1, async client => {
    isCertain = await correctSite(client, look, day)
  })
  return isApplied && isCertain
}

function isWrong({ site: { expected, found } }: Look): boolean {
  return differences('site_aggregate', '', expected, found).length > 0
}

async function correctSite(client: SqlClient, look: Look, day: Day): Promise<boolean> {
  if (!isWrong(look)) return true
  const right = corrected(await storedSite(client, day), look.site)
  await writeSite(client, day, right.value)
  return right.isCertain
}

/** Sums up the site's day from what is stored of its posts, at once. */
export async function sumUpSite(client: SqlClient, day: Day): Promise<void> {
  await writeSite(client, day, await sumOfStored(client, day))
}

async function writeSite(client: SqlClient, day: Day, site: Aggregate | null): Promise<void> {
  await client.run('DELETE FROM site_view_aggregates WHERE date = ?', [day])
  if (site === null) return
  await client.run(
    `INSERT INTO site_view_aggregates (${DAY_COLUMNS.join(', ')}, date)
     VALUES (${placeholders(DAY_COLUMNS.length + 1)})`,
    [...numbersOf(site), day],
  )
}
