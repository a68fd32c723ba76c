/** Which hosts are the site's own: a referer from one of them is a reader who went on from page to page. */

import { isIP, isIPv6 } from 'node:net'
import { hostOf, withoutWww } from './hosts.ts'
import { type AskedHosts, type OwnHostsInUse, type Referrer, StoreRefused } from './store.ts'

/** Hosts in one spelling, each once, in the order of their texts; `*.x` stands for every host below `x`, not for `x`. */
export type OwnHosts = readonly string[]

/** What says that no host is one's own; not to be set says nothing. */
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
      `${wrong.map(entry => `"${entry}" is no host`).join(', ') || 'it names no host'}; write names such as blog.example, *.blog.example or 192.0.2.1, separated by commas, or ${NO_OWN_HOSTS} alone`,
    )
  }
  return [...new Set(hosts.filter(host => host !== null))].sort()
}

function ownHostOf(entry: string): string | null {
  const isBelow = entry.startsWith('*.')
  const rest = isBelow ? entry.slice(2) : entry
  // More than a host and a port would be read as parts of a URL.
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

/** @param host as `refererHost` makes it, or as it was stored before: with `www.` */
export function isOwnHost(own: OwnHosts, host: string): boolean {
  const name = withoutWww(host)
  return own.some(entry => (entry.startsWith('*.') ? name.endsWith(entry.slice(1)) : name === entry))
}

/** A row of a list of referrers; `host` is empty where none was told. */
export function referrerOf(own: OwnHosts, host: string, views: number): Referrer {
  return { host: host || null, views, ...(isOwnHost(own, host) && { internal: true as const }) }
}

/** As the database records it, and people read it: text that `ownHostsOf` makes the same list of. */
export function ownHostsText(own: OwnHosts): string {
  return own.length === 0 ? NO_OWN_HOSTS : own.join(',')
}

/** Back from `ownHostsText`. */
export function recordedOwnHosts(text: string): OwnHosts {
  return text === NO_OWN_HOSTS ? [] : text.split(',')
}

/** What a list replaces where a process may record it, in words; null where what is recorded stays. */
export function replacementOf({ ownHosts, goesBack }: AskedHosts, lists: readonly string[]): string | null {
  const standing = standingOf(ownHosts, lists)
  if (standing === 'holds' || (standing === 'replaced' && !goesBack)) return null
  return `the site's own hosts ${lists[0]} by ${ownHostsText(ownHosts!)}`
}

/**
 * What a process's list is beside those that a database records.
 *
 * @param own null: the process has none, and uses what is recorded
 * @param lists as texts, the one that holds first, then those it replaced
 */
function standingOf(own: OwnHosts | null, lists: readonly string[]): 'holds' | 'replaced' | 'new' {
  const text = own === null ? lists[0]! : ownHostsText(own)
  if (text === lists[0]) return 'holds'
  return lists.includes(text) ? 'replaced' : 'new'
}

/** @throws {StoreRefused} where the list was never recorded */
export function ownHostsInUse(own: OwnHosts | null, lists: readonly string[]): OwnHostsInUse {
  const standing = standingOf(own, lists)
  if (standing === 'new') {
    throw new StoreRefused(
      `SITE_HOSTS is ${ownHostsText(own!)}, recorded in the database is ${lists[0]}: run \`postviews migrate\` to record it, or leave SITE_HOSTS unset to use what is recorded`,
    )
  }
  return { ownHosts: recordedOwnHosts(lists[0]!), isReplaced: standing === 'replaced' }
}
