/** Compares what is counted with a recount of the rows. Changes nothing. */

import { differences } from '../sql/recount.ts'
import type { Difference, Progress, Verified } from '../store.ts'
import { firstRowsOf } from './batch.ts'
import { leftOvers } from './left-overs.ts'
import {
  allDays,
  type Snapshot,
  snapshotOf,
  unlistedReaders,
  unviewedReaders,
  type WrongFigure,
  type WrongReaders,
  wrongIn,
} from './recount.ts'
import { Deriving, rowsWhere } from './rederive.ts'
import { dayKeys, type Engine, readState, type State } from './state.ts'

/**
 * A batch that two have counted at the same moment may seem to change though it does not: what is found is looked for
 * again, and told when it is there twice.
 */
export async function verify(
  engine: Engine,
  found: (difference: Difference) => void,
  progress: Progress = () => {},
): Promise<Verified> {
  const nameOf = ({ kind, name, field }: Difference) => `${kind} ${name} ${field}`
  const first = await differencesNow(engine, progress)
  const seen = new Set(first.found.map(nameOf))
  if (seen.size === 0) return first.verified
  const second = await differencesNow(engine, progress)
  for (const difference of second.found) if (seen.has(nameOf(difference))) found(difference)
  return second.verified
}

async function differencesNow(
  engine: Engine,
  progress: Progress,
): Promise<{ found: Difference[]; verified: Verified }> {
  const state = await readState(engine.cluster)
  const { found, rows } = await rowsThatDiffer(engine, state, progress)
  for (const { shard, label } of await leftOvers(engine)) {
    for (const { id } of await firstRowsOf(shard, label)) {
      found.push({ kind: 'row', name: `row ${id}`, field: 'batch', expected: 'counted', found: 'left over' })
    }
  }
  const groups = await allDays(engine)
  const total = groups.flat().length
  let done = 0
  for (const days of groups) {
    const snapshot = await snapshotOf(engine, state, days)
    const { figures, readers } = await wrongIn(engine, snapshot)
    found.push(...figures.flatMap(differencesOf), ...(await readersThatDiffer(engine, snapshot, readers)))
    done += days.length
    progress('days', done, total)
  }
  if (total === 0) progress('days', 0, 0)
  // Totals are sums over days, made when they are asked for: there is nothing that could differ.
  progress('posts', 0, 0)
  return { found, verified: { days: total, rows } }
}

async function rowsThatDiffer(
  engine: Engine,
  state: State,
  progress: Progress,
): Promise<{ found: Difference[]; rows: number }> {
  const shards = await engine.cluster.shards()
  const counts = await Promise.all(
    shards.map(shard => shard.all('SELECT count() AS found FROM post_view_deliveries')),
  )
  const total = counts.reduce((sum, [row]) => sum + Number(row!['found']), 0)
  const deriving = new Deriving(engine, state, await dayKeys(shards[0]!))
  const found: Difference[] = []
  let done = 0
  for (const shard of shards) {
    for await (const rows of rowsWhere(shard, 'true', { areFew: false })) {
      for (const row of rows) {
        // What a refused batch has left is derived again by whoever counts it.
        if (row.epoch < state.epoch) continue
        found.push(...differences('row', `row ${row.id}`, deriving.again(row), row.derived))
      }
      done += rows.length
      progress('rows', Math.min(done, total), total)
    }
  }
  progress('rows', total, total)
  return { found, rows: done }
}

async function readersThatDiffer(
  engine: Engine,
  snapshot: Snapshot,
  readers: readonly WrongReaders[],
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

function differencesOf({ kind, day, post, host, expected, found }: WrongFigure): Difference[] {
  const of = post === '' ? 'site' : `post ${post}`
  if (kind === 'post' || kind === 'site') {
    const aggregate = kind === 'post' ? 'aggregate' : 'site_aggregate'
    return differences(aggregate, `${of} on ${day}`, expected, found)
  }
  const views = [expected, found].map(aggregate => asCount(aggregate?.view_count ?? null))
  return differences(kind, `${of} on ${day} from ${host || 'nowhere'}`, views[0]!, views[1]!)
}

function asCount(views: number | null): { view_count: number } | null {
  return views === null ? null : { view_count: views }
}
