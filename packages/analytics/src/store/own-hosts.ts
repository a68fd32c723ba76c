/** Which hosts are the site's own: a reader who comes from one of them was already reading the site. */

import { isIP, isIPv6 } from 'node:net'
import { StoreRefused } from './failures.ts'
import { hostOf, withoutWww } from './hosts.ts'

/** Hosts in their one spelling, sorted, without duplicates; `*.x` matches every host below `x`, but not `x`. */
export type OwnHosts = readonly string[]

/** The own hosts that a process asks to be recorded. */
export interface AskedHosts {
  /** Null: `SITE_HOSTS` is not set, and the recorded list stays. */
  ownHosts: OwnHosts | null
  /** Whether to record a list even if another list has replaced it before. */
  goesBack: boolean
}

export interface OwnHostsInUse {
  /** The recorded list, which is the one to use. */
  ownHosts: OwnHosts
  /** Whether the process asked for a list that has been replaced in the database. */
  isReplaced: boolean
}

/** `SITE_HOSTS=none`: no host is the site's own. If it is unset, the recorded list is used instead. */
export const NO_OWN_HOSTS = 'none'

/**
 * The hosts that a text names, separated by commas. Letter case and ports do not matter, names in other scripts become
 * punycode, and `www.x` is `x`.
 *
 * @throws {Error} that quotes each entry which is no host
 */
export function ownHostsOf(text: string): OwnHosts {
  const entries = text
    .split(',')
    .map(entry => entry.trim())
    .filter(entry => entry !== '')
  if (entries.length === 1 && entries[0]!.toLowerCase() === NO_OWN_HOSTS) return []
  const hosts = entries.map(ownHostOf)
  const wrong = entries.filter((_, index) => hosts[index] === null)
  if (wrong.length > 0 || hosts.length === 0) {
    throw new Error(
      `${wrong.map(entry => `"${withoutUser(entry)}" is not a host`).join(', ') || 'it names no host'}; write names such as blog.example, *.blog.example or 192.0.2.1, separated by commas, or ${NO_OWN_HOSTS} alone`,
    )
  }
  return [...new Set(hosts.filter(host => host !== null))].sort()
}

/** An entry that is a whole URL may hold a password. */
function withoutUser(entry: string): string {
  return entry.replace(/^.*@/s, '…@')
}

function ownHostOf(entry: string): string | null {
  const isBelow = entry.startsWith('*.')
  const rest = isBelow ? entry.slice(2) : entry
  // With these characters, the URL parser would read more than a host and a port.
  if (/[\s/\\?#@%*]/.test(rest) || rest.toLowerCase() === NO_OWN_HOSTS) return null
  const url = URL.parse(`http://${isIPv6(rest) ? `[${rest}]` : rest}`)
  const host = hostOf(url?.hostname ?? '')
  if (host === '') return null
  if (!isBelow) return withoutWww(host)
  return isAddress(host) ? null : `*.${host}`
}

function isAddress(host: string): boolean {
  return host.startsWith('[') || isIP(host) !== 0
}

/** @param host as `refererHost` makes it, or as earlier versions stored it, with `www.` */
export function isOwnHost(own: OwnHosts, host: string): boolean {
  const name = withoutWww(host)
  return own.some(entry => (entry.startsWith('*.') ? name.endsWith(entry.slice(1)) : name === entry))
}

/** The list as a text, for the database and for messages; `ownHostsOf` turns it back into the same list. */
export function ownHostsText(own: OwnHosts): string {
  return own.length === 0 ? NO_OWN_HOSTS : own.join(',')
}

/** The list of a text that `ownHostsText` made. */
export function recordedOwnHosts(text: string): OwnHosts {
  return text === NO_OWN_HOSTS ? [] : text.split(',')
}

/** Describes in words what recording a list replaces; null if the recorded list stays. */
export function replacementOf({ ownHosts, goesBack }: AskedHosts, lists: readonly string[]): string | null {
  const standing = standingOf(ownHosts, lists)
  if (standing === 'holds' || (standing === 'replaced' && !goesBack)) return null
  return `the site's own hosts ${lists[0]} with ${ownHostsText(ownHosts!)}`
}

/**
 * Whether a process's list is the recorded one, one that was replaced, or one that the database has never seen.
 *
 * @param own null: `SITE_HOSTS` is not set
 * @param lists as texts: the recorded one, then those it replaced
 */
function standingOf(own: OwnHosts | null, lists: readonly string[]): 'holds' | 'replaced' | 'new' {
  const text = own === null ? lists[0]! : ownHostsText(own)
  if (text === lists[0]) return 'holds'
  return lists.includes(text) ? 'replaced' : 'new'
}

/** The list to use. @throws {StoreRefused} where the database has never seen the process's own */
export function ownHostsInUse(own: OwnHosts | null, lists: readonly string[]): OwnHostsInUse {
  const standing = standingOf(own, lists)
  if (standing === 'new') {
    throw new StoreRefused(
      `SITE_HOSTS is ${ownHostsText(own!)}, but the database records ${lists[0]}: run \`postviews migrate\` to record the new list, or leave SITE_HOSTS unset to use the recorded one`,
    )
  }
  return { ownHosts: recordedOwnHosts(lists[0]!), isReplaced: standing === 'replaced' }
}
