import type { IncomingHttpHeaders } from 'node:http'
import { BlockList, isIP } from 'node:net'
import { canonicalIp, type ViewEvent } from './view.ts'

/** What is read of a request: an `IncomingMessage` of node:http, or the `raw` one that a framework wraps. */
export interface ViewRequest {
  /** Absent: GET. */
  method?: string | undefined
  /** Path and query. */
  url?: string | undefined
  /** Where a framework has one: `url` as it was before a router took its own path off. */
  originalUrl?: string | undefined
  headers: IncomingHttpHeaders
  socket: { remoteAddress?: string | undefined }
}

export interface RequestViewOptions {
  post_uuid: string | number | bigint
  /** Null or absent for a reader who is not logged in. */
  user_id?: number | string | bigint | null
  /** For readers whose ids are no integers: whether this one is logged in. */
  logged_in?: boolean
  /** From `proxyList`: the proxies whose `X-Forwarded-For` is believed. Absent: none is. */
  trustedProxies?: BlockList
}

/**
 * The event for a post that is shown in answer to a request: its reader's address, user agent and referer, and the address
 * asked for. Never throws; what the request does not tell is null.
 *
 * Null for a request that shows the post to nobody (HEAD, a page that a browser fetches or renders in advance, or for a
 * preview): there is no view to track then.
 */
export function viewFromRequest(request: ViewRequest, options: RequestViewOptions): ViewEvent | null {
  if (!showsPost(request)) return null
  const { post_uuid, user_id = null, logged_in, trustedProxies } = options
  const { headers } = request
  return {
    post_uuid,
    user_id,
    ...(logged_in === undefined ? {} : { logged_in }),
    ip: readerAddress(request, trustedProxies),
    user_agent: headers['user-agent'] ?? null,
    referer: headers.referer ?? null,
    url: request.originalUrl ?? request.url ?? null,
  }
}

/** In which browsers say why they ask for a page: Chromium and Safari, their older versions, Firefox, and old Safari. */
const PURPOSE_HEADERS = ['sec-purpose', 'purpose', 'x-moz', 'x-purpose'] as const
const IN_ADVANCE = /(?:^|[\s,;])(?:prefetch|prerender|preview)(?:$|[\s,;])/i

function showsPost({ method, headers }: ViewRequest): boolean {
  if (method?.toUpperCase() === 'HEAD') return false
  return !PURPOSE_HEADERS.some(name => IN_ADVANCE.test(String(headers[name] ?? '')))
}

/**
 * The addresses (`10.0.0.1`, `::1`) and networks (`10.0.0.0/8`, `fd00::/8`) of the proxies in front of this process.
 *
 * @throws {TypeError} naming the entry that is neither
 */
export function proxyList(entries: readonly string[]): BlockList {
  const list = new BlockList()
  for (const entry of entries) {
    const [address = '', prefix, ...rest] = entry.split('/')
    const family = familyOf(address)
    const bits = family === 'ipv4' ? 32 : 128
    const isNetwork = prefix !== undefined && /^\d{1,3}$/.test(prefix) && Number(prefix) <= bits
    if (isIP(address) === 0 || rest.length > 0 || (prefix !== undefined && !isNetwork)) {
      throw new TypeError(`not an address, nor a network as ADDRESS/BITS: ${entry}`)
    }
    if (isNetwork) list.addSubnet(address, Number(prefix), family)
    else list.addAddress(address, family)
  }
  return list
}

/**
 * The address of whoever made a request, in its canonical spelling; null where it cannot be told.
 *
 * Each proxy appends the address that it was called from, so the list is read from its end: as long as an address is
 * that of a trusted proxy, the one before it is true. The first that is not is the reader, or whatever the reader
 * hides behind; what stands before it, anybody may have written.
 */
export function readerAddress(
  { headers, socket }: Pick<ViewRequest, 'headers' | 'socket'>,
  trusted?: BlockList,
): string | null {
  let address = canonicalIp(socket.remoteAddress ?? '')
  const forwarded = trusted && headers['x-forwarded-for']
  if (forwarded === undefined) return address ?? null
  const claimed = String(forwarded).split(',')
  while (address !== undefined && claimed.length > 0 && trusted?.check(address, familyOf(address))) {
    address = addressIn(claimed.pop()!)
  }
  return address ?? null
}

/** The address that a header or a framework tells, in its canonical spelling; undefined for `unknown` and other words. */
export function addressIn(text: string): string | undefined {
  return canonicalIp(withoutPort(text.trim()))
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return address.includes(':') ? 'ipv6' : 'ipv4'
}

// Some proxies write 203.0.113.7:4711 and [2001:db8::1]:4711.
function withoutPort(text: string): string {
  return /^\[(.*)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text
}
