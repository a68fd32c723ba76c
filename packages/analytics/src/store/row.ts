/** From a view, as it was read, to the row that is kept: everything that counting needs is decided here. */

import { hash } from 'node:crypto'
import { isIPv6 } from 'node:net'
import { ByteCache, entryBytes } from '@postviews/client/src/byte-cache.ts'
import { canonicalIp, type View } from '@postviews/client/src/index.ts'
import { isbot } from 'isbot'
import type { Calendar, Day } from './calendar.ts'
import { hostOf, withoutWww } from './hosts.ts'

export const UNIQUE_BY = ['network', 'ip', 'network+user_agent', 'ip+user_agent'] as const
export type UniqueBy = (typeof UNIQUE_BY)[number]
export type IpStorage = 'full' | 'none'

/** A raw row: all that is kept of a view. How each of these is kept is in `KEPT`. */
export interface KeptRow {
  /** A lower-case UUID; null: counted at least once. */
  eventId: string | null
  postUuid: string
  /** Decimal digits. */
  userId: string | null
  ip: string | null
  userAgent: string | null
  referer: string | null
  /** Unix seconds. */
  viewedAt: number
  /** Unix seconds of the delivery that was counted. */
  receivedAt: number
  day: Day
  slice: number
  loggedIn: boolean
  bot: boolean
  /** 32 hex digits. */
  visitor: string
  /** The host the reader came from, without `www.`; empty when there was none. */
  refererHost: string
}

/** What a column holds. Each engine knows how to write it. `digits`: a whole number up to 64 bits, as decimal digits. */
export type ColumnType = 'text' | 'digits' | 'number' | 'flag' | 'time' | 'day' | 'uuid' | 'hash'

export interface KeptColumn {
  /** In `post_views`. */
  column: string
  type: ColumnType
  /** Whether a view may have none. */
  isNullable?: true
  /** Whether `forget` erases it. */
  isPersonal?: true
}

/** The columns of raw rows, the same on every engine. Inserts, `copy` and `forget` follow from this list. */
export const KEPT: Readonly<Record<keyof KeptRow, KeptColumn>> = {
  postUuid: { column: 'post_uuid', type: 'text' },
  userId: { column: 'user_id', type: 'digits', isNullable: true, isPersonal: true },
  ip: { column: 'ip', type: 'text', isNullable: true, isPersonal: true },
  userAgent: { column: 'user_agent', type: 'text', isNullable: true, isPersonal: true },
  referer: { column: 'referer', type: 'text', isNullable: true, isPersonal: true },
  viewedAt: { column: 'viewed_at', type: 'time' },
  eventId: { column: 'event_id', type: 'uuid', isNullable: true },
  receivedAt: { column: 'received_at', type: 'time' },
  day: { column: 'day', type: 'day' },
  slice: { column: 'slice', type: 'number' },
  loggedIn: { column: 'logged_in', type: 'flag' },
  bot: { column: 'bot', type: 'flag' },
  visitor: { column: 'visitor', type: 'hash' },
  refererHost: { column: 'referer_host', type: 'text' },
}

export type KeptName = keyof KeptRow
export type KeptValue = KeptRow[KeptName]

export const KEPT_NAMES = Object.keys(KEPT) as KeptName[]
export const KEPT_COLUMNS = KEPT_NAMES.map(name => KEPT[name].column)
/** What says who a reader is. */
export const PERSONAL_NAMES = KEPT_NAMES.filter(name => KEPT[name].isPersonal)
export const PERSONAL_COLUMNS = PERSONAL_NAMES.map(name => KEPT[name].column)

/** What views without an address share: one unknown reader a post and window. */
export const UNKNOWN_VISITOR = '0'.repeat(32)

/**
 * Who a reader is for counting unique views: a keyed hash, so that a row says nothing of the address once the
 * day's key is gone. 128 bits: two readers of one post and window never meet by chance.
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
  // The key goes first and has one length, and the digest is cut: nothing can be appended to what was hashed.
  return hash('sha256', key + reader).slice(0, 32)
}

/**
 * An IPv4 address as it is; of an IPv6 address the /64: that is what a household or a host gets, and whoever has it can
 * come from a new address of it with every request.
 *
 * @param ip in any spelling: rows of adopted tables hold what their consumer was sent
 */
function networkOf(ip: string): string {
  const address = canonicalIp(ip) ?? ip
  if (!isIPv6(address)) return address
  // What stands for the missing zeros may lie within the first four groups.
  const [before = '', after] = address.split('::')
  const groups = before === '' ? [] : before.split(':')
  if (after !== undefined) {
    const behind = after === '' ? [] : after.split(':')
    while (groups.length + behind.length < 8) groups.push('0')
    groups.push(...behind)
  }
  return `${groups.slice(0, 4).join(':')}::/64`
}

/** The host of a referer, without `www.`; empty when it names none. */
export function refererHost(referer: string | null): string {
  if (referer === null || referer === '') return ''
  const { protocol, hostname } = URL.parse(referer) ?? { protocol: '', hostname: '' }
  if (protocol !== 'http:' && protocol !== 'https:' && protocol !== 'android-app:') return ''
  return withoutWww(hostOf(hostname))
}

/** Of some 20,000 browsers; readers can invent agents without end. */
const KNOWN_AGENTS_BYTES = 8 * 1_048_576

/** Asks `isbot` about each user agent once: the list is long, and agents repeat. */
export class BotList {
  readonly #known = new ByteCache<boolean>(KNOWN_AGENTS_BYTES)

  isBot(userAgent: string | null): boolean {
    if (userAgent === null || userAgent === '') return false
    let bot = this.#known.get(userAgent)
    if (bot === undefined) {
      bot = isbot(userAgent)
      this.#known.set(userAgent, bot, entryBytes(userAgent))
    }
    return bot
  }
}

export interface RowContext {
  calendar: Calendar
  bots: BotList
  uniqueBy: UniqueBy
  ipStorage: IpStorage
  /** The key of a day; it must be there already. */
  keyOf(day: Day): string
}

export function toRow(view: View, receivedAt: number, context: RowContext): KeptRow {
  const { day, slice } = context.calendar.locate(view.viewedAt)
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
    bot: context.bots.isBot(view.userAgent),
    visitor: visitorOf(context.keyOf(day), context.uniqueBy, view.ip, view.userAgent),
    refererHost: refererHost(view.referer),
  }
}

/** Of rows with one id the first, in the order of their ids. */
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
