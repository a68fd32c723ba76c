import type { IncomingHttpHeaders } from 'node:http'
import { BlockList } from 'node:net'
import { familyOf, networkOf } from './network.ts'
import { canonicalIp, type ViewEvent } from './view.ts'

/** The part of a request that is read: of an `IncomingMessage` of node:http, or of the `raw` one that a framework wraps. */
export interface ViewRequest {
  /** Absent: GET. */
  method?: string | undefined
  /** Path and query. */
  url?: string | undefined
  /** Set by some frameworks: `url` before a router removed its own path. */
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
  /** From `proxyList`: the proxies whose `X-Forwarded-For` is trusted. Absent: none. */
  trustedProxies?: BlockList
}

/**
 * The event for a post that a request shows: the reader's address, user agent and referer, and the requested
 * address. Never throws; what the request does not contain is null.
 *
 * Null for a request that shows the post to nobody: HEAD, a prefetch, a prerender or a preview.
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

/** In these, browsers say why they request a page: Chromium and Safari, their older versions, Firefox, and old Safari. */
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
    const network = networkOf(entry)
    if (network === undefined)
      throw new TypeError(`neither an address nor a network (ADDRESS/BITS): ${entry}`)
    list.addSubnet(network.address, network.length, familyOf(network.address))
  }
  return list
}

/**
 * The address of the reader who made a request, in canonical form; null if it is unknown.
 *
 * Each proxy appends the address of its own client, so the list is read from its end: while an address is a
 * trusted proxy's, the entry before it is true. The first other address is the reader, or a proxy that the
 * reader uses. Anybody may have written the entries before that one.
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

/** The address in the text of a header or a framework, in canonical form; undefined for `unknown` and other words. */
export function addressIn(text: string): string | undefined {
  return canonicalIp(withoutPort(text.trim()))
}

// Some proxies write 203.0.113.7:4711 and [2001:db8::1]:4711.
function withoutPort(text: string): string {
  return /^\[(.*)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text
}
