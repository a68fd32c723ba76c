/** Turns a decoded view into the row that is kept. Everything that counting needs is decided here. */

import { hash } from 'node:crypto'
import { isIPv6 } from 'node:net'
import { ByteCache, entryBytes } from '@postviews/client/src/byte-cache.ts'
import { canonicalIp, type View } from '@postviews/client/src/index.ts'
import { utmOfUrl, utmText, type Who } from '../derive/who.ts'
import type { Calendar } from './calendar.ts'
import type { Day } from './days.ts'
import { hostOf, withoutWww } from './hosts.ts'
import type { KeptRow } from './kept.ts'

export const UNIQUE_BY = ['network', 'ip', 'network+user_agent', 'ip+user_agent'] as const
export type UniqueBy = (typeof UNIQUE_BY)[number]
export type IpStorage = 'full' | 'none'

/** The visitor of all views without an address: they count as one unknown reader per post and window. */
export const UNKNOWN_VISITOR = '0'.repeat(32)

/**
 * Identifies a reader for counting unique views: a keyed hash, so that a row reveals nothing of the address once the day's key is
 * gone. With 128 bits, two readers of one post and window never get the same hash by chance.
 *
 * @param key the day's key, 64 hex digits
 */
export function visitorOf(
  key: string,
  uniqueBy: UniqueBy,
  ip: string | null,
  userAgent: string | null,
): string {
  if (ip === null) return UNKNOWN_VISITOR
  const address = uniqueBy.startsWith('network') ? networkOf(ip) : ip
  const reader = uniqueBy.endsWith('+user_agent') ? `${address}\0${userAgent ?? ''}` : address
  // The key comes first with a fixed length, and the digest is truncated: this prevents length extension.
  return hash('sha256', key + reader).slice(0, 32)
}

/**
 * An IPv4 address as it is; an IPv6 address reduced to its /64. A household or a host gets a whole /64, and can send every
 * request from a new address in it.
 *
 * @param ip in any spelling: rows of adopted tables hold whatever their consumer received
 */
function networkOf(ip: string): string {
  const address = canonicalIp(ip) ?? ip
  if (!isIPv6(address)) return address
  // The `::` that stands for zeros may lie within the first four groups.
  const [before = '', after] = address.split('::')
  const groups = before === '' ? [] : before.split(':')
  if (after !== undefined) {
    const behind = after === '' ? [] : after.split(':')
    while (groups.length + behind.length < 8) groups.push('0')
    groups.push(...behind)
  }
  return `${groups.slice(0, 4).join(':')}::/64`
}

const knownHosts = new ByteCache<string>(1_048_576)

/** The host of a referer, without `www.`; empty when it names none. */
export function refererHost(referer: string | null): string {
  if (referer === null || referer === '') return ''
  // Referers differ in their paths, and a few hosts send most readers. Parsing all of it again took a fifth of the time of a row.
  const origin = PLAIN_ORIGIN.exec(referer)?.[0]
  if (origin === undefined) return parsedHost(referer)
  let host = knownHosts.get(origin)
  if (host === undefined) {
    host = parsedHost(origin)
    knownHosts.set(origin, host, entryBytes(origin, host))
  }
  return host
}

/** What URL parsers read in many ways is not plain: users, backslashes, spaces, other scripts. */
const PLAIN_ORIGIN = /^https?:\/\/[a-z\d.-]+(?::\d+)?\//

function parsedHost(referer: string): string {
  const { protocol, hostname } = URL.parse(referer) ?? { protocol: '', hostname: '' }
  if (protocol !== 'http:' && protocol !== 'https:' && protocol !== 'android-app:') return ''
  return withoutWww(hostOf(hostname))
}

export interface RowContext {
  calendar: Calendar
  who: Who
  uniqueBy: UniqueBy
  ipStorage: IpStorage
  /** The key of a day; it must be there already. */
  keyOf(day: Day): string
}

export function toRow(view: View, receivedAt: number, context: RowContext): KeptRow {
  const { day, slice, hour } = context.calendar.locate(view.viewedAt)
  const agent = context.who.agentOf(view.userAgent)
  const host = refererHost(view.referer)
  const utm = utmOfUrl(view.url)
  return {
    eventId: view.eventId,
    postUuid: view.postUuid,
    userId: view.userId,
    ip: context.ipStorage === 'full' ? view.ip : null,
    userAgent: view.userAgent,
    referer: view.referer,
    viewedAt: view.viewedAt,
    receivedAt,
    day,
    slice,
    loggedIn: view.loggedIn,
    bot: agent.isBot,
    visitor: visitorOf(context.keyOf(day), context.uniqueBy, view.ip, view.userAgent),
    refererHost: host,
    hour,
    utm: utmText(utm),
    origin: context.who.originOf(view.referer, host, utm),
    agent: agent.text,
    country: context.who.countryOf(view.ip),
  }
}

/** All rows without an id, then the first row of each id, in the order of the ids. */
export function eachIdOnce(rows: readonly KeptRow[]): KeptRow[] {
  const withId = new Map<string, KeptRow>()
  const withoutId: KeptRow[] = []
  for (const row of rows) {
    if (row.eventId === null) withoutId.push(row)
    else if (!withId.has(row.eventId)) withId.set(row.eventId, row)
  }
  const ids = [...withId.keys()].sort()
  return [...withoutId, ...ids.map(id => withId.get(id)!)]
}
