/** `@postviews/client/fastify`: a hook for Fastify 4 and 5. Nothing of Fastify is imported. */

import type { IncomingHttpHeaders } from 'node:http'
import type { ViewRequest } from './request.ts'
import { routeViews, type ShownPost, type TrackViewOptions } from './route-view.ts'
import type { Tracker } from './tracker.ts'

export type { PostId, ShownPost, TrackViewOptions } from './route-view.ts'

/** The part of a Fastify request that is read. */
export interface FastifyRequest {
  raw: ViewRequest
  headers: IncomingHttpHeaders
  ip: string
  params: unknown
}

/** The part of a Fastify reply that is read. */
export interface FastifyReply {
  raw: { statusCode: number; once(event: 'finish', listener: () => void): unknown }
}

/**
 * Tracks a view of the post that a route shows:
 *
 *     app.get('/posts/:post', { onRequest: trackView(tracker, { post: 'post' }) }, showPost)
 *
 * A view is a GET that is answered with 2xx, or with 304 (the browser shows its own copy), and is not a
 * prefetch. It is tracked once the response is finished, and never delays or fails it. The reader's address is
 * `request.ip`, so the application's `trustProxy` has to name the proxies in front.
 *
 * @throws {TypeError} when the tracker or the options are wrong
 */
export function trackView<
  Request extends FastifyRequest,
  Reply extends FastifyReply,
  Post extends ShownPost = string,
>(
  tracker: Pick<Tracker, 'trackView'>,
  options: TrackViewOptions<Request, Reply, Post>,
): (request: NoInfer<Request>, reply: NoInfer<Reply>, done: () => void) => void {
  const onRequest = routeViews(tracker, options)
  return (request, reply, done) => {
    onRequest({
      request,
      response: reply,
      raw: request.raw,
      rawResponse: reply.raw,
      ip: () => request.ip,
      params: () => request.params,
    })
    done()
  }
}
