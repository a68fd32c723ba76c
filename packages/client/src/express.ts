/** `@postviews/client/express`: middleware for Express 4 and 5. Nothing of Express is imported. */

import type { ViewRequest } from './request.ts'
import { routeViews, type ShownPost, type TrackViewOptions } from './route-view.ts'
import type { Tracker } from './tracker.ts'

export type { PostId, ShownPost, TrackViewOptions } from './route-view.ts'

/** The part of an Express request that is read. */
export interface ExpressRequest extends ViewRequest {
  ip?: string | undefined
  params: object
}

/** The part of an Express response that is read. */
export interface ExpressResponse {
  statusCode: number
  once(event: 'finish', listener: () => void): unknown
}

/**
 * Tracks a view of the post that a route shows:
 *
 *     app.get('/posts/:post', trackView(tracker, { post: 'post' }), showPost)
 *
 * A view is a GET that is answered with 2xx, or with 304 (the browser shows its own copy), and is not a
 * prefetch. It is tracked once the response is finished, and never delays or fails it. The reader's address is
 * `request.ip`, so `app.set('trust proxy', …)` has to name the proxies in front.
 *
 * @throws {TypeError} when the tracker or the options are wrong
 */
export function trackView<
  Request extends ExpressRequest,
  Response extends ExpressResponse,
  Post extends ShownPost = string,
>(
  tracker: Pick<Tracker, 'trackView'>,
  options: TrackViewOptions<Request, Response, Post>,
): (request: NoInfer<Request>, response: NoInfer<Response>, next: () => void) => void {
  const onRequest = routeViews(tracker, options)
  return (request, response, next) => {
    // Each router has its own parameters, and Express restores the outer ones when it leaves a router.
    const { params } = request
    onRequest({
      request,
      response,
      raw: request,
      rawResponse: response,
      ip: () => request.ip,
      params: () => params,
    })
    next()
  }
}
