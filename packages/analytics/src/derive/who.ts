/**
 * What is derived of who read a view, as three texts that a row keeps: where the reader came from, on what, and in which country. Their
 * fields are separated by tabs. The first is the version of the list that derived the text, so that a newer list can be applied to
 * older rows.
 */

import { ByteCache, entryBytes } from '@postviews/client/src/byte-cache.ts'
import { isOwnHost, type OwnHosts } from '../store/own-hosts.ts'
import type { Countries } from './countries.ts'
import { familiesOf } from './families.ts'
import { isBot, MACHINES_VERSION, machineOf } from './machines.ts'
import { originOf, SOURCES_VERSION, type Utm, utmOf } from './sources.ts'

/** The fields of each text, in order, after the version. */
export const FIELDS = {
  origin: ['channel', 'source', 'campaign'],
  agent: ['device', 'browser', 'os', 'bot', 'purpose'],
  country: ['country'],
} as const

export const SEPARATOR = '\t'

/** Enough for some 20,000 agents, or origins. Bounded, because readers can invent any number of them. */
const CACHED_BYTES = 8 * 1_048_576

export interface Agent {
  text: string
  isBot: boolean
}

export interface WhoOptions {
  /** Null: countries are switched off. */
  countries: Countries | null
  ownHosts: OwnHosts
}

export class Who {
  readonly #options: WhoOptions
  readonly #agents = new ByteCache<Agent>(CACHED_BYTES)
  readonly #origins = new ByteCache<string>(CACHED_BYTES)

  constructor(options: WhoOptions) {
    this.#options = options
  }

  agentOf(userAgent: string | null): Agent {
    const known = this.#agents.get(userAgent ?? '')
    if (known !== undefined) return known
    const agent = judged(userAgent ?? '')
    this.#agents.set(userAgent ?? '', agent, entryBytes(userAgent ?? '', agent.text))
    return agent
  }

  /** @param host of the referer, as `refererHost` tells it */
  originOf(referer: string | null, host: string, utm: Utm | null): string {
    if (utm !== null) return this.#originOf(referer, utm)
    // Without utm texts, only the host matters, and whether it is an app's.
    const key = referer?.startsWith('android-app:') ? `app ${host}` : host
    let origin = this.#origins.get(key)
    if (origin === undefined) {
      origin = this.#originOf(referer, NO_UTM)
      this.#origins.set(key, origin, entryBytes(key, origin))
    }
    return origin
  }

  #originOf(referer: string | null, utm: Utm): string {
    const { channel, source, campaign } = originOf(referer, utm, host =>
      isOwnHost(this.#options.ownHosts, host),
    )
    return joined(SOURCES_VERSION, [channel, source, campaign])
  }

  /** Null: countries are switched off. */
  countryOf(ip: string | null): string | null {
    const { countries } = this.#options
    return countries && joined(countries.version, [countries.countryOf(ip)])
  }
}

const NO_UTM: Utm = { source: null, medium: null, campaign: null, ref: null }

function judged(userAgent: string): Agent {
  if (userAgent !== '' && isBot(userAgent)) {
    const { name, purpose } = machineOf(userAgent)
    return { text: joined(MACHINES_VERSION, ['', '', '', name, purpose]), isBot: true }
  }
  const { device, browser, os } = familiesOf(userAgent)
  return { text: joined(MACHINES_VERSION, [device, browser, os, '', '']), isBot: false }
}

function joined(version: string | number, fields: readonly (string | null)[]): string {
  return [version, ...fields.map(field => field ?? '')].join(SEPARATOR)
}

/** The fields of a text, without its version. */
export function fieldsOf(text: string): string[] {
  return text.split(SEPARATOR).slice(1)
}

const UTM_FIELDS = ['source', 'medium', 'campaign', 'ref'] as const

/** The utm texts of an address; null where it has none. */
export function utmOfUrl(url: string | null): Utm | null {
  if (url === null || !url.includes('?')) return null
  const utm = utmOf(url)
  return UTM_FIELDS.some(field => utm[field] !== null) ? utm : null
}

/** The text that a row keeps of them, from which `utmOfText` reads them again. */
export function utmText(utm: Utm | null): string | null {
  return utm && UTM_FIELDS.map(field => utm[field] ?? '').join(SEPARATOR)
}

export function utmOfText(text: string | null): Utm | null {
  if (text === null) return null
  const [source, medium, campaign, ref] = text.split(SEPARATOR).map(field => field || null) as (
    | string
    | null
  )[]
  return { source: source ?? null, medium: medium ?? null, campaign: campaign ?? null, ref: ref ?? null }
}
