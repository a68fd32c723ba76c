/** Applies other counting settings to data that exists: records them first, then applies them as far back as possible. */

import { randomBytes } from 'node:crypto'
import type { Who } from '../../derive/who.ts'
import {
  type ClockChange,
  clockChange,
  EVERY_DAY,
  learnSettings,
  rulesOf,
  settingsDiffer,
} from '../agreement.ts'
import { botsBeforeChange, botsBeforeText } from '../bots-before.ts'
import { addDays, type Day, latest } from '../days.ts'
import type { Progress } from '../store.ts'
import { keptTimes, raiseAgreement, readAgreed, writeRules } from './agreement.ts'
import { makeKey, withoutAddress } from './day-keys.ts'
import { idRanges } from './id-ranges.ts'
import { fixRows, WRONG_AT_ONCE, wrongAmong } from './rebuild-rows.ts'
import { daysOfRows } from './recount.ts'
import { untilNoneIsReopened } from './reopen.ts'
import { dayKeys, isOpen, rowsBetween, secretOf } from './rows.ts'
import { figure, SELECT_STATE, type SqlClient, type SqlEngine, type State, toState } from './sql.ts'
import { groupsOf } from './steps.ts'

/** Fewer rows than this may be read while batches wait. */
const ROWS_LEFT = 20_000

/**
 * Once the settings are recorded, consumers with the old ones are refused and those with the new ones may run. If interrupted,
 * run it again: it then processes every day that it covers again.
 */
export async function adoptSettings(engine: SqlEngine, who: Who, progress: Progress): Promise<void> {
  const looked = await lookForAddresses(engine, () => progress('settings', 0, 1))
  const firstDay = await untilNoneIsReopened(engine, progress, async (client, state) => {
    const { calendar, settings } = engine
    const agreed = await readAgreed(client)
    learnSettings(agreed, engine)
    const change = await clockChange(agreed, engine, () => keptTimes(engine, client))
    const rest = await lastDayWithoutAddress(client, { after: looked.upTo })
    const first = firstDayToApply(engine, state, change, latest(looked.lastDay, rest))
    const { timeZone, windowHours, uniqueBy, bots } = settings
    // Days whose rows are there are counted again.
    const before = botsBeforeText(botsBeforeChange(state, bots, state.rawFrom))
    await client.run(
      `UPDATE post_view_state
       SET stats_timezone = ?, window_hours = ?, unique_by = ?, bots = ?, bots_before = ?, settings_since = ?
       WHERE id = 1`,
      [timeZone, windowHours, uniqueBy, bots, before, first],
    )
    if (change.clocks) await writeRules(client, rulesOf(calendar, Math.floor(Date.now() / 1_000)))
    if (change.clocks || settingsDiffer(state.settings, engine) !== null) await raiseAgreement(client)
    return first
  })

  // Views of one day in the old zone may lie on neighbouring days in the new one: two zones differ by at most 26 hours.
  const first = firstDay === null ? '' : addDays(firstDay, -2)
  const days = (await daysOfRows(engine, engine.reader)).filter(day => day >= first)
  for (const [index, day] of days.entries()) {
    await applyToDay(engine, who, day, progress, () => progress('settings', index, days.length))
    progress('settings', index + 1, days.length)
  }
}

/**
 * The last day with a row that kept no address, among the rows up to `upTo`. These are read while batches go on, so few rows are
 * left in the end.
 */
async function lookForAddresses(
  engine: SqlEngine,
  step: () => void,
): Promise<{ upTo: number; lastDay: Day | null }> {
  let upTo = 0
  let lastDay: Day | null = null
  for (;;) {
    // Exclusive, so that no batch is under way that could commit a smaller number later.
    const newest = await engine.exclusive(async client => {
      const [row] = await client.all('SELECT MAX(id) AS newest FROM post_views')
      return figure(row!['newest']) ?? 0
    })
    if (newest - upTo < ROWS_LEFT) return { upTo, lastDay }
    lastDay = latest(lastDay, await lastDayWithoutAddress(engine.reader, { after: upTo, upTo: newest, step }))
    upTo = newest
  }
}

async function lastDayWithoutAddress(
  client: SqlClient,
  { after, upTo = null, step = () => {} }: { after: number; upTo?: number | null; step?: () => void },
): Promise<Day | null> {
  let lastDay: Day | null = null
  for await (const range of idRanges(client, { after, upTo })) {
    const [row] = await client.all(
      `SELECT MAX(day) AS last FROM post_views WHERE id > ? AND id <= ? AND ${withoutAddress(client)}`,
      [range.after, range.last],
    )
    lastDay = latest(lastDay, row!['last'] as Day | null)
    step()
  }
  return lastDay
}

/** The first day to which the settings can be applied; null if that is every day. */
function firstDayToApply(
  { settings }: SqlEngine,
  state: State,
  { from }: ClockChange,
  lastWithoutAddress: Day | null,
): Day | null {
  // Days without raw rows stay as they are, and so do days that an earlier change could not reach.
  const reachable = latest(state.rawFrom, state.settingsSince)
  const changeFrom = settings.uniqueBy === state.settings.uniqueBy ? from : EVERY_DAY
  if (changeFrom === null) return reachable
  // Readers can be told apart anew only by their addresses: on the days after the last row that kept none.
  const isBefore = lastWithoutAddress === null || lastWithoutAddress < changeFrom
  return latest(reachable, isBefore ? null : addDays(lastWithoutAddress, 1))
}

async function applyToDay(
  engine: SqlEngine,
  who: Who,
  day: Day,
  progress: Progress,
  step: () => void,
): Promise<void> {
  while (!(await applyUnderOneKey(engine, who, day, progress, step))) {
    // The day was closed or opened again meanwhile: some of its readers are hashed under the old key.
  }
}

/** False if the day's key was replaced meanwhile: then the whole day must be done again under the new key. */
async function applyUnderOneKey(
  engine: SqlEngine,
  who: Who,
  day: Day,
  progress: Progress,
  step: () => void,
): Promise<boolean> {
  const { reader } = engine
  const { start, end } = engine.calendar.bounds(day)
  const { settingsSince } = toState((await reader.all(SELECT_STATE))[0]!)
  const where = '(day >= ? OR day IS NULL)'
  const values = [settingsSince ?? '1000-01-01']
  const recorded = await untilNoneIsReopened(engine, progress, async (client, state) => {
    const secret = await secretOf(client, day)
    // In the old zone this day had no views; its readers may come again.
    return secret === null && (await isOpen(client, state.openFrom, day)) ? makeKey(client, day) : secret
  })
  const ownKeys = new Map<Day, string>()
  if (recorded === null) {
    const lacking = rowsBetween(engine, reader, start, end, {
      where: `${where} AND ${withoutAddress(engine.reader)}`,
      values,
    })
    // The key of a closed day is gone. If every row has its address, the readers are hashed under a new key that nobody keeps. If
    // one lacks it, the old hashes stay.
    if ((await lacking.next()).done) ownKeys.set(day, randomBytes(32).toString('hex'))
    step()
  }
  for await (const rows of rowsBetween(engine, reader, start, end, { where, values })) {
    const state = toState((await reader.all(SELECT_STATE))[0]!)
    const keys = new Map([...(await dayKeys(reader)), ...ownKeys])
    if (recorded !== null) keys.set(day, recorded)
    for (const wrong of groupsOf(wrongAmong(rows, engine, state, keys, who), WRONG_AT_ONCE)) {
      const isSame = await untilNoneIsReopened(engine, progress, async (client, now) => {
        if ((await secretOf(client, day)) !== recorded) return false
        await fixRows(engine, client, now, wrong, { who, ownKeys })
        return true
      })
      step()
      if (!isSame) return false
    }
    step()
  }
  return true
}
