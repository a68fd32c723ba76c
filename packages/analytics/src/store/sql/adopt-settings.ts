/** Other counting settings for data that is there already: recorded first, then applied as far back as can be. */

import { randomBytes } from 'node:crypto'
import {
  type ClockChange,
  clockChange,
  EVERY_DAY,
  learnSettings,
  rulesOf,
  settingsDiffer,
} from '../agreement.ts'
import { addDays, type Day, latest } from '../calendar.ts'
import { BotList } from '../row.ts'
import type { Progress } from '../store.ts'
import { keptTimes, raiseAgreement, readAgreed, writeRules } from './agreement.ts'
import { makeKey, WITHOUT_ADDRESS } from './day-keys.ts'
import { writeDerived } from './rebuild.ts'
import { daysOfRows } from './recount.ts'
import { dayKeys, deriveAgain, isOpen, rawRows } from './rows.ts'
import type { SqlClient, SqlEngine, State } from './sql.ts'

/**
 * From the moment the settings are recorded, consumers with the old ones are refused and such with the new ones may
 * run. Interrupted, it is run again: every day it covers is then done anew.
 */
export async function adoptSettings(engine: SqlEngine, progress: Progress): Promise<void> {
  const firstDay = await engine.exclusive(async (client, state) => {
    const { calendar, settings } = engine
    const agreed = await readAgreed(client)
    learnSettings(agreed, engine)
    const change = await clockChange(agreed, engine, () => keptTimes(engine, client))
    const first = await firstDayToApply(engine, client, state, change)
    const { timeZone, windowHours, uniqueBy, bots } = settings
    await client.run(
      `UPDATE post_view_state
       SET stats_timezone = ?, window_hours = ?, unique_by = ?, bots = ?, settings_since = ?
       WHERE id = 1`,
      [timeZone, windowHours, uniqueBy, bots, first],
    )
    if (change.clocks) await writeRules(client, rulesOf(calendar, Math.floor(Date.now() / 1_000)))
    if (change.clocks || settingsDiffer(state.settings, engine) !== null) await raiseAgreement(client)
    return first
  })

  // What was one day in the old zone may lie on days around it in the new one: two zones are 26 hours apart at most.
  const days = new Set<Day>()
  for (const day of await daysOfRows(engine.reader)) {
    if (firstDay !== null && day < firstDay) continue
    for (const distance of [-2, -1, 0, 1, 2]) days.add(addDays(day, distance))
  }
  let done = 0
  for (const day of [...days].sort()) {
    await engine.exclusive((client, state) => applyToDay(engine, client, state, day))
    progress('settings', ++done, days.size)
  }
}

/** The first day that has what it takes; null when every day has. */
async function firstDayToApply(
  { settings }: SqlEngine,
  client: SqlClient,
  state: State,
  { from }: ClockChange,
): Promise<Day | null> {
  // Days without raw rows stay as they are, and so do days that an earlier change could not reach.
  const reachable = latest(state.rawFrom, state.settingsSince)
  const changeFrom = settings.uniqueBy === state.settings.uniqueBy ? from : EVERY_DAY
  if (changeFrom === null) return reachable
  // Who read can be told anew only from an address: the days after the last row that kept none.
  const [row] = await client.all(`SELECT MAX(day) AS last FROM post_views WHERE ${WITHOUT_ADDRESS}`)
  const last = row?.['last'] as Day | null
  return latest(reachable, last === null || last < changeFrom ? null : addDays(last, 1))
}

async function applyToDay(engine: SqlEngine, client: SqlClient, state: State, day: Day): Promise<void> {
  const { start, end } = engine.calendar.bounds(day)
  const where = 'viewed_at >= ? AND viewed_at < ? AND (day >= ? OR day IS NULL)'
  const values = [engine.toTime(start), engine.toTime(end), state.settingsSince ?? '1000-01-01']
  const keys = new Map(await dayKeys(client))
  if (!keys.has(day) && (await isOpen(client, state.openFrom, day))) {
    // In the zone of before, nothing had happened on this day; its readers may come again.
    keys.set(day, await makeKey(client, day))
  } else if (!keys.has(day)) {
    const lacking = await client.all(
      `SELECT id FROM post_views WHERE ${where} AND ${WITHOUT_ADDRESS} LIMIT 1`,
      values,
    )
    // The key of a closed day is gone. Where every address is there, its readers are told apart as well under one
    // that nobody keeps; where one lacks, who was told apart stays told apart.
    if (lacking.length === 0) keys.set(day, randomBytes(32).toString('hex'))
  }
  const bots = new BotList()
  for await (const rows of rawRows(engine, client, { where, values })) {
    for (const row of rows) {
      const derived = deriveAgain(row, engine, state, keys, agent => bots.isBot(agent))
      await writeDerived(engine, client, row, derived)
    }
  }
}
