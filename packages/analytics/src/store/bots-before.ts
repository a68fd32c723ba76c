/** What `BOTS` was when the figures of a day were counted: days whose raw rows are gone keep what they were counted by. */

import type { CountingSettings } from './counting-settings.ts'
import type { Day } from './days.ts'

type Bots = CountingSettings['bots']

/** The setting of the days before `before`. */
export interface BotsBefore {
  bots: Bots
  before: Day
}

/** What is recorded of how days were counted. */
export interface CountedBy<Settings = Pick<CountingSettings, 'bots'>> {
  settings: Settings
  /** Earlier settings of days that later ones could not be applied to, the earliest first. */
  botsBefore: readonly BotsBefore[]
}

/** The settings by which the day is counted, as far as bots are concerned. */
export function settingsOn<Settings extends CountedBy['settings']>(
  { settings, botsBefore }: CountedBy<Settings>,
  day: Day,
): Settings {
  const earlier = botsBefore.find(({ before }) => day < before)
  return earlier === undefined ? settings : { ...settings, bots: earlier.bots }
}

/**
 * What is to be recorded once `bots` replaces what days were counted by.
 *
 * @param since the first day that is counted again; null: every day is
 */
export function botsBeforeChange(
  { settings, botsBefore }: CountedBy,
  bots: Bots,
  since: Day | null,
): readonly BotsBefore[] {
  if (bots === settings.bots || since === null) return botsBefore
  const kept = botsBefore.filter(({ before }) => before < since)
  // There are two settings: the days before a change and those after the next one have the same.
  if (kept.length < botsBefore.length) return kept
  return [...kept, { bots: settings.bots, before: since }]
}

/** Days that were counted by one setting; null: without an end. */
export interface PeriodOfBots {
  bots: Bots
  from: Day | null
  before: Day | null
}

export function periodsOf({ settings, botsBefore }: CountedBy): PeriodOfBots[] {
  return [...botsBefore, { bots: settings.bots, before: null }].map((period, nth) => ({
    ...period,
    from: botsBefore[nth - 1]?.before ?? null,
  }))
}

export function botsBeforeText(botsBefore: readonly BotsBefore[]): string | null {
  return botsBefore.length === 0 ? null : JSON.stringify(botsBefore)
}

export function toBotsBefore(text: unknown): readonly BotsBefore[] {
  return text === null || text === undefined ? [] : (JSON.parse(String(text)) as BotsBefore[])
}
