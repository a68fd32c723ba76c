/** Whether a client's copy of an answer is still current: `ETag` and `If-None-Match`. */

import { hash } from 'node:crypto'

/** A weak tag: the same for the same content, whenever it was read. */
export function etagOf(content: string): string {
  return `W/"${hash('sha256', content, 'base64url').slice(0, 22)}"`
}

/** Whether `If-None-Match` names the tag, by the weak comparison of RFC 9110: `W/` makes no difference. */
export function isFresh(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  if (ifNoneMatch.trim() === '*') return true
  return ifNoneMatch.match(/"[^"]*"/g)?.includes(etag.slice('W/'.length)) ?? false
}
