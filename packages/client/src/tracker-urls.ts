/** Where a tracker sends views: to a relay's socket, to a broker, or to a relay with a broker as fallback. */

import { brokerUrls } from './broker-urls.ts'
import { MAX_SOCKET_PATH_BYTES } from './relay/protocol.ts'

const FORM = "of a relay's socket: write it as unix:/run/postviews.sock"

/**
 * The URLs of a tracker, checked: `unix:` with the path of a relay's socket, the URLs of a broker as `brokerUrls` has
 * them, or the socket first and the broker after it as the fallback. A text with commas between them, or an array.
 *
 * @throws {TypeError} when one is wrong. The caller puts the setting's name before the message, which quotes no URL
 */
export function trackerUrls(value: string | readonly string[]): string[] {
  const parts: readonly unknown[] = typeof value === 'string' ? value.split(',') : value
  if (!Array.isArray(parts) || !parts.some(isRelay)) {
    if (Array.isArray(parts) && String(parts[0]).trim().startsWith('/'))
      throw new TypeError(`is the path ${FORM}`)
    return brokerUrls(value)
  }
  const [first, ...others] = parts
  if (!isRelay(first) || others.some(isRelay)) {
    throw new TypeError('has a unix: that is not the first: write one relay first, then its fallback')
  }
  const relay = first.trim()
  checkPath(relayPath(relay)!)
  return others.length === 0 ? [relay] : [relay, ...fallbackUrls(others)]
}

/** The path in a URL that `trackerUrls` gave; undefined when that is a broker's. */
export function relayPath(url: string): string | undefined {
  return isRelay(url) ? url.slice('unix:'.length) : undefined
}

function isRelay(part: unknown): part is string {
  return typeof part === 'string' && /^\s*unix:/i.test(part)
}

function fallbackUrls(urls: string[]): string[] {
  try {
    return brokerUrls(urls)
  } catch (error) {
    throw new TypeError(`names a relay and a fallback that ${(error as Error).message}`)
  }
}

function checkPath(path: string): void {
  if (path === '') throw new TypeError(`has no path ${FORM}`)
  if (path.includes('\0')) throw new TypeError(`has a NUL in the path ${FORM}`)
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new TypeError(`has a path of over ${MAX_SOCKET_PATH_BYTES} bytes ${FORM}`)
  }
}
