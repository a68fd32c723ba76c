/** Other counting settings for data that is there already: recorded first, then applied as far back as can be. */

import { randomBytes } from 'node:crypto'
import { type ClockChange, clockChange, EVERY_DAY, learnSettings, settingsDiffer } from '../agreement.ts'
import { addDays, type Day, latest } from '../calendar.ts'
import type { Progress } from '../store.ts'
import { WITHOUT_ADDRESS } from './day-keys.ts'
import { allDays, listReaders, snapshotOf } from './recount.ts'
import { Deriving, deriveRows, rowsWhere } from './rederive.ts'
import {
  checkedState,
  dayKeys,
  type Engine,
  keptTimes,
  makeKey,
  onEachShard,
  ownState,
  readState,
  recordSettings,
  type State,
} from './state.ts'

/**
 * From the moment the settings are recorded, consumers with the old ones are refused and such with the new ones may
 * run. What is counted is then to be rebuilt. Interrupted, it is run again: rows tell under which settings they were
 * derived.
 */
export async function adoptSettings(engine: Engine, progress: Progress): Promise<void> {
  const before = await readState(engine.cluster)
  learnSettings(before, engine)
  const change = await clockChange(before, engine, () => keptTimes(engine))
  const firstDay = await firstDayToApply(engine, before, change)
  const isReplaced = change.clocks || settingsDiffer(before.settings, engine) !== null
  const own = ownState(engine)
  await recordSettings(engine, {
    epoch: before.epoch + 1,
    agreement: before.agreement + (isReplaced ? 1 : 0),
    settings: own.settings,
    rules: change.clocks ? own.rules : before.rules,
    settingsSince: firstDay,
    ownHosts: before.ownHosts,
  })
  const state = await checkedState(engine)

  const shards = await engine.cluster.shards()
  const deriving = new Deriving(engine, state, await keysToApply(engine, state))
  let done = 0
  await onEachShard(shards, async shard => {
    const rows = rowsWhere(shard, `epoch < ${state.epoch}`, { areFew: false })
    await deriveRows(shard, rows, row => ({
      ...row,
      epoch: state.epoch,
      derived: deriving.again(row),
    }))
    progress('settings', ++done, shards.length)
  })
  // The list of other settings is empty.
  for (const days of await allDays(engine)) await listReaders(engine, await snapshotOf(engine, state, days))
}

/** The first day that has what it takes; null when every day has. */
async function firstDayToApply(
  { cluster, settings }: Engine,
  state: State,
  { from }: ClockChange,
): Promise<Day | null> {
  // Days without raw rows stay as they are, and so do days that an earlier change could not reach.
  const reachable = latest(state.rawFrom, state.settingsSince)
  const changeFrom = settings.uniqueBy === state.settings.uniqueBy ? from : EVERY_DAY
  if (changeFrom === null) return reachable
  // Who read can be told anew only from an address: the days after the last row that kept none.
  const [row] = await cluster.all(
    `SELECT maxOrNull(day) AS last FROM ${cluster.from(`SELECT day FROM post_view_deliveries WHERE ${WITHOUT_ADDRESS}`)}`,
  )
  const last = row!['last'] as Day | null
  return latest(reachable, last === null || last < changeFrom ? null : addDays(last, 1))
}

async function keysToApply({ calendar, cluster }: Engine, state: State): Promise<Map<Day, string>> {
  const first = await cluster.first()
  const keys = await dayKeys(first)
  const rows = await cluster.all(
    `SELECT DISTINCT day FROM ${cluster.from('SELECT DISTINCT day FROM post_view_deliveries')}`,
  )
  // What was one day in the old zone may lie on days around it in the new one: two zones are 26 hours apart at most.
  const days = new Set(
    rows.flatMap(row => [-2, -1, 0, 1, 2].map(distance => addDays(String(row['day']), distance))),
  )
  for (const day of [...days].sort()) {
    if (keys.has(day)) continue
    const { start, end } = calendar.bounds(day)
    const ofDay = `viewed_at >= toDateTime(${start}, 'UTC') AND viewed_at < toDateTime(${end}, 'UTC')
      AND day >= '${state.settingsSince ?? '1970-01-01'}'`
    const [found] = await cluster.all(
      `SELECT sum(views) AS views, sum(lacking) AS lacking FROM ${cluster.from(
        `SELECT count() AS views, countIf(${WITHOUT_ADDRESS}) AS lacking FROM post_view_deliveries WHERE ${ofDay}`,
      )}`,
    )
    if (Number(found!['views']) === 0) continue
    if (state.openFrom === null || day >= state.openFrom) {
      // In the zone of before, nothing had happened on this day; its readers may come again.
      keys.set(day, await makeKey(first, day))
    } else if (Number(found!['lacking']) === 0) {
      // The key of a closed day is gone. Where every address is there, its readers are told apart as well under one
      // that nobody keeps; where one lacks, who was told apart stays told apart.
      keys.set(day, randomBytes(32).toString('hex'))
    }
  }
  return keys
}
