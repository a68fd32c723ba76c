/**
 * Derives what a raw row says of who read it: for a row that was never counted, and again by this version's lists. The texts and
 * their fields are declared in `derive/who.ts`.
 *
 * A text is derived only from what is certainly all that there was: `forget` and retention erase the agent, the referer, the
 * address and the utm texts of a row, and what was derived from them must stay.
 */

import type { DimensionName } from '@postviews/client/src/figures.ts'
import type { Countries } from '../derive/countries.ts'
import { FIELDS, fieldsOf, utmOfText, type Who } from '../derive/who.ts'
import { keptOf } from './dimensions.ts'
import { StoreRefused } from './failures.ts'
import type { KeptRow } from './kept.ts'
import { refererHost, UNKNOWN_VISITOR } from './row.ts'

export type WhoText = keyof typeof FIELDS

export const WHO_TEXTS = Object.keys(FIELDS) as WhoText[]

/** What the texts are derived from, as a row keeps it. */
export type Sources = Pick<KeptRow, 'userId' | 'ip' | 'userAgent' | 'referer' | 'utm'>

/** The columns that hold what was derived. Null in a row that was kept before they were, and `country` where it is switched off. */
export interface WhoColumns extends Record<WhoText, string | null> {
  /** 1 or 0; null in a row that was never counted. */
  bot: number | null
}

export interface WhoRow extends Sources, WhoColumns {
  refererHost: string | null
  /** Hex digits. */
  visitor: string | null
}

/** The dimensions that are derived by lists, and change with them. */
export const LISTED_DIMENSIONS: readonly DimensionName[] = WHO_TEXTS.flatMap(text => [...FIELDS[text]])

/** The texts that have one of these dimensions as a field. */
export function textsOf(names: readonly DimensionName[]): ReadonlySet<WhoText> {
  return new Set(WHO_TEXTS.filter(text => names.some(name => keptOf(name) === text)))
}

/** What is derived again, and by which lists. */
export interface Derivation {
  who: Who
  texts: ReadonlySet<WhoText>
}

/** @param countries null: they are switched off @throws {StoreRefused} if countries are to be derived then */
export function textsToDerive(
  names: readonly DimensionName[],
  countries: Countries | null,
): ReadonlySet<WhoText> {
  const texts = textsOf(names)
  if (texts.has('country') && countries === null) {
    throw new StoreRefused('countries are switched off by GEOIP_DB=none: there is nothing to derive them by')
  }
  return texts
}

/** Every dimension that is derived again when these are: all fields of their texts. */
export function derivedWith(names: readonly DimensionName[]): DimensionName[] {
  const texts = textsOf(names)
  return LISTED_DIMENSIONS.filter(name => texts.has(keptOf(name) as WhoText))
}

/** The texts of a row that was never counted: nothing of it was forgotten. */
export function firstTexts(
  { ip, userAgent, referer, utm }: Sources,
  who: Who,
): Record<WhoText, string | null> {
  return {
    origin: who.originOf(referer, refererHost(referer), utmOfText(utm)),
    agent: who.agentOf(userAgent).text,
    country: who.countryOf(ip),
  }
}

/** What the row says of its reader by the lists of `who`. What was not asked for stays, and so does what is no longer told. */
export function whoAgain(row: WhoRow, who: Who, asked: ReadonlySet<WhoText>): WhoColumns {
  const { origin, agent, country, bot } = row
  const again: WhoColumns = { origin, agent, country, bot }
  const texts = firstTexts(row, who)
  if (asked.has('origin') && isOriginTold(row)) again.origin = texts.origin
  if (asked.has('country') && isAddressTold(row)) again.country = texts.country ?? country
  if (asked.has('agent') && isAgentTold(row)) {
    again.agent = texts.agent
    // In step with the text: it names the machine that this column counts.
    again.bot = Number(who.agentOf(row.userAgent).isBot)
  }
  return again
}

function isOriginTold({ referer, refererHost, utm, origin }: WhoRow): boolean {
  if (referer === null && (refererHost ?? '') !== '') return false
  if (utm === null && origin !== null && campaignIn(origin) !== '') return false
  // A row that was kept before its origin was had no utm texts that could have been forgotten.
  return referer !== null || utm !== null || origin === null
}

function campaignIn(origin: string): string {
  return fieldsOf(origin)[FIELDS.origin.indexOf('campaign')] ?? ''
}

function isAgentTold({ userAgent, agent, bot, ...row }: WhoRow): boolean {
  if (userAgent !== null) return true
  // Either it had none, or that is forgotten. All is erased at once, so a row that keeps something of its reader had none.
  const keepsReader = row.userId !== null || row.ip !== null || row.referer !== null
  return agent === null && bot !== 1 && keepsReader
}

function isAddressTold({ ip, country, visitor }: WhoRow): boolean {
  return ip !== null || (country === null && visitor?.toLowerCase() === UNKNOWN_VISITOR)
}
