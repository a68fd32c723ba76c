/** Compares what is counted with a recount of the rows. Changes nothing. */

import type { Day } from '../calendar.ts'
import { differences } from '../sql/recount.ts'
import type { Difference, Progress } from '../store.ts'
import { firstRowsOf } from './batch.ts'
import { leftOvers } from './left-overs.ts'
import {
  allDays,
  expectedFigures,
  type Figure,
  type Reader,
  type Snapshot,
  siteOf,
  snapshotOf,
  storedFigures,
  unlistedReaders,
  unviewedReaders,
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
    found.push(...(await recountDays(engine, state, days)).differences)
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
  differences: Difference[]
  /** Those on which anything differs. */
  days: ReadonlySet<Day>
  /** Those of the posts whose figures, or visitors, differ. */
  posts: Pick<Figure, 'day' | 'post'>[]
  unlisted: Reader[]
  unviewed: Reader[]
}

export async function recountDays(
  engine: Engine,
  state: State,
  days: readonly Day[],
): Promise<RecountedDays> {
  const snapshot = await snapshotOf(engine, state, days)
  const isComplete = new Set(snapshot.complete)
  const [stored, recounted] = await Promise.all([
    storedFigures(engine, snapshot, 'all'),
    expectedFigures(engine, snapshot, 'all'),
  ])
  const unlisted = recounted.unlisted > 0 ? await unlistedReaders(engine, snapshot) : []
  const unviewed = recounted.unviewed > 0 ? await unviewedReaders(engine, snapshot) : []
  // Of days whose raw rows are gone, the posts' figures are all there is to go by.
  const goneBy = stored.entries().filter(([, { post, day }]) => post !== '' && !isComplete.has(day))
  const expected = new Map([...recounted.figures, ...goneBy])
  for (const [key, figure] of siteOf(expected.values())) expected.set(key, figure)

  const found: Difference[] = []
  const wrongDays = new Set<Day>()
  const wrong: Pick<Figure, 'day' | 'post'>[] = []
  for (const [wanted, is] of pairs(expected, stored)) {
    const differing = compare(wanted, is)
    if (differing.length === 0) continue
    found.push(...differing)
    const { post, day } = (wanted ?? is)!
    wrongDays.add(day)
    if (post !== '') wrong.push({ post, day })
  }
  for (const [readers, expectedViews, foundViews] of [
    [unlisted, 1, null],
    [unviewed, null, 1],
  ] as const) {
    for (const { day, post, slice, visitor } of readers) {
      const name = `visitor ${visitor} of post ${post} on ${day}, window ${slice}`
      found.push(...differences('visitor', name, asCount(expectedViews), asCount(foundViews)))
      wrongDays.add(day)
      wrong.push({ post, day })
    }
  }
  return { snapshot, differences: found, days: wrongDays, posts: wrong, unlisted, unviewed }
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
