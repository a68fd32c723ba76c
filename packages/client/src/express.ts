/** `@postviews/client/express`: middleware for Express 4 and 5. Nothing of Express is imported. */

import type { ViewRequest } from './request.ts'
import { routeViews, type ShownPost, type TrackViewOptions } from './route-view.ts'
import type { Tracker } from './tracker.ts'

export type { PostId, ShownPost, TrackViewOptions } from './route-view.ts'

/** What is read of a request of Express. */
export interface ExpressRequest extends ViewRequest {
  ip?: string | undefined
  params: object
}

/** What is read of a response of Express. */
export interface ExpressResponse {
  statusCode: number
  once(event: 'finish', listener: () => void): unknown
}

/**
 * Tracks a view of the post that a route shows:
 *
 *     app.get('/posts/:post', trackView(tracker, { post: 'post' }), showPost)
 *
 * A view is a GET that is answered with 2xx, or with 304 (the reader's browser shows the copy it has), and is not fetched in
 * advance. It is tracked once the response is finished, and never delays or fails it. The reader's address is `request.ip`,
 * so `app.set('trust proxy', …)` has to name the proxies in front.
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
    // Each router has parameters of its own, and Express puts the outer ones back when it leaves one.
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
