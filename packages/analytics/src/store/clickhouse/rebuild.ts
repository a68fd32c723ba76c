/** Makes what is counted what a recount says, beside live consumers: nobody waits for it. */

import { setTimeout as sleep } from 'node:timers/promises'
import { isAsked, refuseNoDays } from '../asked-days.ts'
import { type Day, latest } from '../calendar.ts'
import { differences } from '../sql/recount.ts'
import { type Progress, type RebuildOptions, type Rebuilt, StoreRefused, StoreUnavailable } from '../store.ts'
import { adoptSettings } from './adopt-settings.ts'
import { completeLeftOvers } from './left-overs.ts'
import { quoted } from './reads.ts'
import {
  allDays,
  listReaders,
  type Snapshot,
  snapshotOf,
  unviewedReaders,
  writeFigures,
  wrongIn,
} from './recount.ts'
import { Deriving, deriveRows, rowsWhere } from './rederive.ts'
import { rollUpLateBatches } from './rollup.ts'
import {
  checkedState,
  dayKeys,
  type Engine,
  makeKey,
  onEachShard,
  readState,
  type State,
  underLease,
} from './state.ts'

/** A batch counted under the settings that are adopted may have met readers who were not listed yet: until nothing differs. */
const PASSES = 5

/** So many are dropped by one statement. */
const READERS_AT_ONCE = 20_000

/** Longer than a lease of somebody who died. */
const PATIENCE_MS = 150_000
const PAUSE_MS = 1_000

/** @throws {StoreRefused} for other settings than recorded, unless they are adopted; for days whose raw rows are gone */
export async function rebuild(
  engine: Engine,
  options: RebuildOptions,
  progress: Progress = () => {},
): Promise<Rebuilt> {
  const { rawFrom } = await readState(engine.cluster)
  const gone = [options.from, options.to].find(day => day !== undefined && rawFrom !== null && day < rawFrom)
  if (gone !== undefined) {
    throw new StoreRefused(
      `raw rows before ${rawFrom} are gone, so ${gone} cannot be counted again: begin with --from ${rawFrom}`,
    )
  }
  return inTurn(engine, () => rebuildAll(engine, options, progress))
}

/** Whoever prunes, or rebuilds, writes figures anew: one after the other, under one lease. */
async function inTurn({ cluster }: Engine, work: () => Promise<Rebuilt>): Promise<Rebuilt> {
  const first = await cluster.first()
  const giveUpAt = performance.now() + PATIENCE_MS
  for (;;) {
    const rebuilt = await underLease(first, 'prune', Math.floor(Date.now() / 1_000), work)
    if (rebuilt !== null) return rebuilt
    if (performance.now() > giveUpAt) {
      throw new StoreUnavailable('a prune or another rebuild is running: run this again afterwards')
    }
    await sleep(PAUSE_MS)
  }
}

async function rebuildAll(engine: Engine, options: RebuildOptions, progress: Progress): Promise<Rebuilt> {
  refuseNoDays(options, (await allDays(engine)).flat())
  if (options.adoptSettings) await adoptSettings(engine, progress)
  const state = await checkedState(engine)

  let fixed = await rebuildRows(engine, state, progress)
  fixed += await completeLeftOvers(engine, state)
  await rollUpLateBatches(engine)
  let days = 0
  if (options.adoptSettings) {
    for (let pass = 1; pass <= PASSES; pass++) {
      const rebuilt = await rebuildAllDays(engine, state, {}, progress)
      days = rebuilt.days
      if (rebuilt.fixed === 0) break
    }
  } else {
    const rebuilt = await rebuildAllDays(engine, state, options, progress)
    days = rebuilt.days
    fixed += rebuilt.fixed
  }
  // Totals are sums over days, made when they are asked for.
  progress('posts', 0, 0)
  return { fixed, days, firstDay: latest(state.rawFrom, state.settingsSince) }
}

async function rebuildAllDays(
  engine: Engine,
  state: State,
  asked: Pick<RebuildOptions, 'from' | 'to'>,
  progress: Progress,
): Promise<Pick<Rebuilt, 'fixed' | 'days'>> {
  const groups = (await allDays(engine)).map(days => days.filter(day => isAsked(asked, day)))
  const all = groups.flat()
  const total = all.length
  let [fixed, done] = [0, 0]
  for (const days of groups) {
    fixed += await rebuildDays(engine, state, days)
    done += days.length
    progress('days', done, total)
  }
  const { rawFrom } = state
  return { fixed, days: all.filter(day => rawFrom === null || day >= rawFrom).length }
}

async function rebuildRows(engine: Engine, state: State, progress: Progress): Promise<number> {
  const shards = await engine.cluster.shards()
  const deriving = new Deriving(engine, state, await keysOfOpenDays(engine, state))
  let done = 0
  const fixed = await onEachShard(shards, async shard => {
    const rows = rowsWhere(shard, `epoch = ${state.epoch}`, { areFew: false })
    const changed = await deriveRows(shard, rows, row => {
      const derived = deriving.again(row)
      return differences('row', '', derived, row.derived).length === 0 ? null : { ...row, derived }
    })
    progress('rows', ++done, shards.length)
    return changed
  })
  return fixed.reduce((sum, changed) => sum + changed)
}

/** The keys there are, and new ones for the days of rows that should have one. */
export async function keysOfOpenDays({ cluster }: Engine, state: State): Promise<Map<Day, string>> {
  const first = await cluster.first()
  const keys = await dayKeys(first)
  const rows = await cluster.all(
    `SELECT DISTINCT day FROM ${cluster.from('SELECT DISTINCT day FROM post_view_deliveries')}`,
  )
  for (const day of rows.map(row => String(row['day']))) {
    if (!keys.has(day) && (state.openFrom === null || day >= state.openFrom)) {
      keys.set(day, await makeKey(first, day))
    }
  }
  return keys
}

/** Puts right whatever of the days differs. Returns how many things did. */
async function rebuildDays(engine: Engine, state: State, days: readonly Day[]): Promise<number> {
  const snapshot = await snapshotOf(engine, state, days)
  const { figures, readers } = await wrongIn(engine, snapshot)
  if (figures.length + readers.length === 0) return 0
  const sum = (which: 'unlisted' | 'unviewed') =>
    readers.reduce((total, { [which]: count }) => total + count, 0)
  const [unlisted, unviewed] = [sum('unlisted'), sum('unviewed')]
  if (unviewed > 0) await dropReaders(engine, snapshot)
  if (unlisted > 0) await listReaders(engine, snapshot)
  // Who is unique in what was counted meanwhile follows from the readers listed by now.
  const wrongDays = new Set([...figures, ...readers].map(({ day }) => day))
  await writeFigures(engine, await snapshotOf(engine, state, [...wrongDays]))
  return figures.length + unlisted + unviewed
}

async function dropReaders(engine: Engine, snapshot: Snapshot): Promise<void> {
  const shards = await engine.cluster.shards()
  const readers = await unviewedReaders(engine, snapshot)
  for (let from = 0; from < readers.length; from += READERS_AT_ONCE) {
    const list = readers
      .slice(from, from + READERS_AT_ONCE)
      .map(({ day, post, slice, visitor }) => `('${day}', ${quoted([post])}, ${slice}, toUUID('${visitor}'))`)
    const statement = `
      DELETE FROM post_view_visitors WHERE (day, post_uuid, slice, visitor) IN (${list.join(', ')})
      SETTINGS lightweight_deletes_sync = 2`
    await onEachShard(shards, shard => shard.run(statement))
  }
}
