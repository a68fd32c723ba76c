/** Lets a client keep an answer and ask whether it still holds: `ETag`, `If-None-Match`, 304. */

import { etagOf, isFresh } from '@postviews/client/src/etag.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'

// Schemas put `as_of` first. The tag covers only what follows it, so nothing is parsed or written twice.
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
  // For HEAD the body is removed later, once its length is known.
  return request.method === 'HEAD' ? payload : null
}
