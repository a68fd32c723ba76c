/** Applies other counting settings to data that exists: records them first, then applies them as far back as possible. */

import { type ClockChange, clockChange, EVERY_DAY, learnSettings, settingsDiffer } from '../agreement.ts'
import { botsBeforeChange } from '../bots-before.ts'
import { addDays, type Day, daysBetween, latest } from '../days.ts'
import type { Progress } from '../store.ts'
import { raise } from './agreed.ts'
import { deriveAgain, derivedOf, hourGroups, viewsIn, WITHOUT_ADDRESS } from './derive.ts'
import { closedDays, type DayKey, dayKey, dayKeys, destroyPassingSecret, passingSecret } from './keys.ts'
import { sourcesOf } from './roll.ts'
import {
  checkedState,
  type Engine,
  firstState,
  isOfOther,
  keptTimes,
  readState,
  recordState,
  type State,
} from './state.ts'

/**
 * Once the settings are recorded, consumers with the old ones are refused and those with the new ones may run. Then all that
 * is counted must be counted again. If interrupted, run it again: each row records the settings under which it was derived.
 */
export async function adoptSettings(engine: Engine, progress: Progress): Promise<void> {
  const { cluster } = engine
  const before = await readState(cluster)
  learnSettings(before, engine)
  const change = await clockChange(before, engine, () => keptTimes(cluster))
  if (change.clocks || settingsDiffer(before.settings, engine) !== null) {
    const settingsSince = await firstDayToApply(engine, before, change)
    if (change.clocks) {
      // Until all rows are derived again, any of them may still lie on its old day.
      await raise(cluster, 'zones left', before.epoch + 1)
      // Rows up to this day stay on days of the old zone for good.
      if (settingsSince !== null)
        await raise(cluster, 'zones until', daysBetween('1970-01-01', settingsSince))
    }
    const own = firstState(engine)
    const next = {
      ...before,
      agreement: before.agreement + 1,
      epoch: before.epoch + 1,
      settings: own.settings,
      rules: change.clocks ? own.rules : before.rules,
      settingsSince,
      botsBefore: botsBeforeChange(before, own.settings.bots, settingsSince),
    }
    // Another process was first, perhaps with only a list of hosts: start again.
    if (!(await recordState(cluster, next))) return adoptSettings(engine, progress)
  }
  const state = await checkedState(engine)
  const shards = await cluster.shards()
  const others = isOfOther(state)
  // A batch accepted before the settings were recorded may be committed after its hour was processed.
  for (let again = true; again; ) {
    again = false
    for (const shard of shards) {
      await shard.catchUp()
      const groups = await hourGroups(shard, others)
      let keys: Map<Day, DayKey> | undefined
      for (const [index, group] of groups.entries()) {
        progress('settings', index, groups.length)
        // The replaced versions of rows are there until they are merged.
        if ((await viewsIn(shard, group, others)) === 0) continue
        keys ??= await keysToApply(engine, state)
        await deriveAgain(engine, shard, state, keys, group, others)
        again = true
      }
    }
  }
  await raise(cluster, 'zones applied', state.epoch)
  await destroyPassingSecret(cluster, state.epoch)
  progress('settings', 1, 1)
}

/** The first day whose rows are complete; null if all days have complete rows. */
export async function rawFrom(engine: Engine): Promise<Day | null> {
  const shards = await engine.cluster.shards()
  const based = await Promise.all(shards.map(async shard => (await sourcesOf(engine, shard)).basedTo))
  const last = based.reduce(latest, null)
  return last === null ? null : addDays(last, 1)
}

/** The first day to which the settings can be applied; null if that is every day. */
async function firstDayToApply(engine: Engine, state: State, { from }: ClockChange): Promise<Day | null> {
  const { cluster, settings } = engine
  // Days without raw rows stay as they are, and so do days that an earlier change could not reach.
  const reachable = latest(await rawFrom(engine), state.settingsSince)
  const changeFrom = settings.uniqueBy === state.settings.uniqueBy ? from : EVERY_DAY
  if (changeFrom === null) return reachable
  // Readers can be told apart anew only by their addresses: on the days after the last row that kept none.
  let last: Day | null = null
  for (const shard of await cluster.shards()) {
    for (const { hours } of await hourGroups(shard, WITHOUT_ADDRESS)) {
      const [row] = await shard.all(
        `SELECT maxOrNull(day) AS last FROM post_view_rows FINAL WHERE ${hours} AND ${WITHOUT_ADDRESS}`,
      )
      last = latest(last, row!['last'] as Day | null)
    }
  }
  return latest(reachable, last === null || last < changeFrom ? null : addDays(last, 1))
}

/** The keys of the days on which rows will lie. */
async function keysToApply(engine: Engine, state: State): Promise<Map<Day, DayKey>> {
  const { cluster } = engine
  const keys = await dayKeys(cluster)
  const closed = await closedDays(cluster)
  const since = state.settingsSince === null ? 'true' : `day >= '${state.settingsSince}'`
  /** For each day, whether some of its readers have no address. */
  const days = new Map<Day, boolean>()
  for (const shard of await cluster.shards()) {
    for (const group of await hourGroups(shard)) {
      const { given, day } = derivedOf(engine, state, keys, group)
      const rows = await shard.all(
        `WITH ${given} SELECT ${day} AS day_now, max(${WITHOUT_ADDRESS}) AS lacks
         FROM (SELECT * FROM post_view_rows FINAL WHERE ${group.hours} AND ${since}) GROUP BY day_now`,
      )
      for (const row of rows) {
        const now = String(row['day_now'])
        days.set(now, days.get(now) === true || Number(row['lacks']) > 0)
      }
    }
  }
  for (const [day, lacks] of days) {
    if (keys.has(day)) continue
    // In the old zone such a day had no views; its readers may come again.
    if (!closed.has(day)) keys.set(day, await dayKey(cluster, day, async () => {}))
    // The key of a closed day is gone. If every row has its address, the readers are hashed under a secret that is kept until
    // all are done. If one lacks it, the old hashes stay.
    else if (!lacks) keys.set(day, { number: 0, secret: await passingSecret(cluster, state.epoch, day) })
  }
  return keys
}
