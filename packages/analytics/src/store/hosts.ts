/** What a host is: an IP address, or a name that DNS could hold. Each has one spelling. */

import { isIPv6 } from 'node:net'

const MAX_CHARACTERS = 253
const NAME = /^[a-z\d_-]{1,63}(?:\.[a-z\d_-]{1,63})*$/

/**
 * The host that the `hostname` of a URL names, in lower case and without its last dot; empty if it is not a valid host. URLs
 * allow more than DNS does: the hostname of `http://x;=1+1;y/` would be a formula in a spreadsheet.
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
