/** Compares what is counted with a recount of the rows. Changes nothing. */

import type { Day } from '../calendar.ts'
import { differences } from '../sql/recount.ts'
import type { Difference, Progress } from '../store.ts'
import { firstRowsOf } from './batch.ts'
import { leftOvers } from './left-overs.ts'
import {
  addToSite,
  allDays,
  expectedFigures,
  type Figure,
  postFigures,
  type Snapshot,
  siteFigures,
  snapshotOf,
  unlistedReaders,
  unviewedReaders,
  type WrongReaders,
} from './recount.ts'
import { Deriving, receivedDays, rowsReceived } from './rederive.ts'
import { dayKeys, type Engine, readState, type State } from './state.ts'

/**
 * A batch that two have counted at the same moment may seem to change though it does not: what is found is looked for
 * again, and told when it is there twice.
 */
export async function verify(
  engine: Engine,
  found: (difference: Difference) => void,
  progress: Progress = () => {},
): Promise<void> {
  const nameOf = ({ kind, name, field }: Difference) => `${kind} ${name} ${field}`
  const seen = new Set((await differencesNow(engine, progress)).map(nameOf))
  if (seen.size === 0) return
  for (const difference of await differencesNow(engine, progress)) {
    if (seen.has(nameOf(difference))) found(difference)
  }
}

async function differencesNow(engine: Engine, progress: Progress): Promise<Difference[]> {
  const state = await readState(engine.cluster)
  const found = await rowsThatDiffer(engine, state, progress)
  for (const { shard, label } of await leftOvers(engine)) {
    for (const { id } of await firstRowsOf(shard, label)) {
      found.push({ kind: 'row', name: `row ${id}`, field: 'batch', expected: 'counted', found: 'left over' })
    }
  }
  const groups = await allDays(engine)
  const total = groups.flat().length
  let done = 0
  for (const days of groups) {
    const recounted = await recountDays(engine, state, days)
    found.push(...recounted.differences, ...(await readersThatDiffer(engine, recounted)))
    done += days.length
    progress('days', done, total)
  }
  if (total === 0) progress('days', 0, 0)
  // Totals are sums over days, made when they are asked for: there is nothing that could differ.
  progress('posts', 0, 0)
  return found
}

async function rowsThatDiffer(engine: Engine, state: State, progress: Progress): Promise<Difference[]> {
  const shards = await engine.cluster.shards()
  const counts = await Promise.all(
    shards.map(shard => shard.all('SELECT count() AS found FROM post_view_deliveries')),
  )
  const total = counts.reduce((sum, [row]) => sum + Number(row!['found']), 0)
  const deriving = new Deriving(engine, state, await dayKeys(shards[0]!))
  const found: Difference[] = []
  let done = 0
  for (const shard of shards) {
    for (const days of await receivedDays(shard)) {
      for await (const rows of rowsReceived(shard, days)) {
        for (const row of rows) {
          // What a refused batch has left is derived again by whoever counts it.
          if (row.epoch < state.epoch) continue
          found.push(...differences('row', `row ${row.id}`, deriving.again(row), row.derived))
        }
        done += rows.length
        progress('rows', Math.min(done, total), total)
      }
    }
  }
  progress('rows', total, total)
  return found
}

export interface RecountedDays {
  snapshot: Snapshot
  /** Of the figures. */
  differences: Difference[]
  /** Those on which a figure differs. */
  days: ReadonlySet<Day>
  /** Those of the posts whose figures differ, and how many views they have. */
  posts: { day: Day; post: string; views: number }[]
  readers: WrongReaders[]
}

export async function recountDays(
  engine: Engine,
  state: State,
  days: readonly Day[],
): Promise<RecountedDays> {
  const snapshot = await snapshotOf(engine, state, days)
  const isComplete = new Set(snapshot.complete)
  const recounted = {
    snapshot,
    differences: [] as Difference[],
    days: new Set<Day>(),
    posts: [] as RecountedDays['posts'],
    readers: [] as WrongReaders[],
  }
  const compareAll = (expected: ReadonlyMap<string, Figure>, stored: ReadonlyMap<string, Figure>) => {
    for (const [wanted, is] of pairs(expected, stored)) {
      const differing = compare(wanted, is)
      if (differing.length === 0) continue
      recounted.differences.push(...differing)
      const { post, day } = (wanted ?? is)!
      recounted.days.add(day)
      const views = Math.max(rowsOf(wanted), rowsOf(is))
      if (post !== '') recounted.posts.push({ post, day, views })
    }
  }

  const site = new Map<string, Figure>()
  for (const where of snapshot.portions) {
    const [stored, found] = await Promise.all([
      postFigures(engine, snapshot, 'all', where),
      expectedFigures(engine, snapshot, 'all', where),
    ])
    // Of days whose raw rows are gone, the posts' figures are all there is to go by.
    const goneBy = stored.entries().filter(([, { day }]) => !isComplete.has(day))
    const expected = new Map([...found.figures, ...goneBy])
    compareAll(expected, stored)
    addToSite(site, expected.values())
    recounted.readers.push(...found.readers)
  }
  compareAll(site, await siteFigures(engine, snapshot, 'all'))
  return recounted
}

function rowsOf(figure: Figure | undefined): number {
  return figure === undefined ? 0 : figure.aggregate.view_count + figure.aggregate.bots
}

async function readersThatDiffer(
  engine: Engine,
  { snapshot, readers }: RecountedDays,
): Promise<Difference[]> {
  const found: Difference[] = []
  const isAny = (which: 'unlisted' | 'unviewed') => readers.some(({ [which]: count }) => count > 0)
  const unlisted = isAny('unlisted') ? await unlistedReaders(engine, snapshot) : []
  const unviewed = isAny('unviewed') ? await unviewedReaders(engine, snapshot) : []
  for (const [wrong, expectedViews, foundViews] of [
    [unlisted, 1, null],
    [unviewed, null, 1],
  ] as const) {
    for (const { day, post, slice, visitor } of wrong) {
      const name = `visitor ${visitor} of post ${post} on ${day}, window ${slice}`
      found.push(...differences('visitor', name, asCount(expectedViews), asCount(foundViews)))
    }
  }
  return found
}

function compare(expected: Figure | undefined, found: Figure | undefined): Difference[] {
  const { kind, day, post, host } = (expected ?? found)!
  const of = post === '' ? 'site' : `post ${post}`
  if (kind === 'post' || kind === 'site') {
    return differences(
      kind === 'post' ? 'aggregate' : 'site_aggregate',
      `${of} on ${day}`,
      expected?.aggregate ?? null,
      found?.aggregate ?? null,
    )
  }
  return differences(
    kind,
    `${of} on ${day} from ${host || 'nowhere'}`,
    asCount(expected?.aggregate.view_count ?? null),
    asCount(found?.aggregate.view_count ?? null),
  )
}

function asCount(views: number | null): { view_count: number } | null {
  return views === null ? null : { view_count: views }
}

/** What two maps have under the same key, by key. */
export function pairs<T>(
  expected: ReadonlyMap<string, T>,
  found: ReadonlyMap<string, T>,
): [expected: T | undefined, found: T | undefined][] {
  return [...new Set([...expected.keys(), ...found.keys()])]
    .sort()
    .map(key => [expected.get(key), found.get(key)])
}
