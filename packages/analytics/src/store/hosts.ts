/** What a host is: an IP address, or a name that DNS could hold. Each has one spelling. */

import { isIPv6 } from 'node:net'

const MAX_CHARACTERS = 253
const NAME = /^[a-z\d_-]{1,63}(?:\.[a-z\d_-]{1,63})*$/

/**
 * The host that the `hostname` of a URL names, in lower case and without its last dot; empty when it can be none. URLs
 * allow more than DNS does: `http://x;=1+1;y/` has a hostname, which a spreadsheet takes for a formula.
 */
export function hostOf(hostname: string): string {
  const host = hostname.toLowerCase().replace(/\.$/, '')
  if (/^\[.*\]$/.test(host)) return isIPv6(host.slice(1, -1)) ? host : ''
  return host.length <= MAX_CHARACTERS && NAME.test(host) ? host : ''
}

/** `www.x` and `x` are one host, whatever `x` is; `www` alone is a name like any other. */
export function withoutWww(host: string): string {
  return host.replace(/^(?:www\.)+(?=.)/, '')
}

/** Views that came from a host, as the API answers it. */
export interface Referrer {
  /** Null stands for readers who came from nowhere that they told. */
  host: string | null
  views: number
  /** Only where the host is one of the site's own, by the list that the database records now. */
  internal?: true
}
