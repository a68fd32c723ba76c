/** Lets a client keep an answer and ask whether it still holds: `ETag`, `If-None-Match`, 304. */

import { hash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'

// Schemas put `as_of` first: what follows it is all that the tag covers, and nothing is parsed or written twice.
const AS_OF = '{"as_of":"'

/** An `onSend` hook for answers that are read from the store. */
export async function revalidate(request: FastifyRequest, reply: FastifyReply, payload: unknown) {
  if (reply.statusCode !== 200 || typeof payload !== 'string') return payload
  const asOfEnd = payload.startsWith(AS_OF) ? payload.indexOf('"', AS_OF.length) : 0
  const etag = etagOf(payload.slice(asOfEnd))
  reply.header('ETag', etag).header('Cache-Control', 'private, no-cache')
  if (asOfEnd > 0) reply.header('X-As-Of', payload.slice(AS_OF.length, asOfEnd))
  if (!isFresh(request.headers['if-none-match'], etag)) return payload
  reply.code(304).removeHeader('Content-Type').removeHeader('Content-Length')
  // For HEAD the body is taken away later, when its length has been told.
  return request.method === 'HEAD' ? payload : null
}

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
