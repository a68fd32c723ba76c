/** Tracks views of the post that a route shows: what the middleware for Express and for Fastify have in common. */

import { describe, type LogEntry, rateLimited } from './log.ts'
import { addressIn, type ViewRequest, viewFromRequest } from './request.ts'
import type { Tracker } from './tracker.ts'

export type PostId = string | number | bigint

/** A post's id, or the post itself: its views are counted under its `uuid`, or else under its `id`. */
export type ShownPost = PostId | { uuid: PostId } | { id: PostId }

export interface TrackViewOptions<Request, Response, Post extends ShownPost = string> {
  /**
   * The name of the route's parameter that holds the post's id; or a function that returns the shown post,
   * called once the response is finished. Null or undefined: no post was shown.
   */
  post: string | ((request: Request, response: Response) => Post | null | undefined)
  /** The reader's id; null or undefined: not logged in. An id that is no integer (a UUID, say) only tells `logged_in`. */
  user_id?: (request: Request) => string | number | bigint | null | undefined
  /** Whether the reader is logged in, where `user_id` does not tell. */
  logged_in?: (request: Request) => boolean
  /**
   * Returns true for a view that is not to be counted, for example an author who reads their own post. `post` is what the option
   * `post` gives; if that names a parameter of the route, the parameter's text. If the function throws, the view is counted.
   */
  except?: (request: Request, post: Post) => boolean
  /** Called for views that cannot be tracked, as `view.invalid`, at most once in 10 s. Default: a line on stderr. */
  log?: (entry: LogEntry) => void
}

/** What the middleware reads of a request, whatever the framework. */
export interface Shown<Request, Response> {
  request: Request
  response: Response
  /** The request and the response of node:http. */
  raw: ViewRequest
  rawResponse: { readonly statusCode: number; once(event: 'finish', listener: () => void): unknown }
  /** The reader's address, as the framework finds it behind the proxies that it trusts. */
  ip(): string | undefined
  params(): unknown
}

/**
 * Tracks a view for each request of a route, once its response is finished. No error ever reaches the request or the process.
 *
 * @throws {TypeError} when the tracker or the options are wrong
 */
export function routeViews<Request, Response, Post extends ShownPost>(
  tracker: Pick<Tracker, 'trackView'>,
  options: TrackViewOptions<Request, Response, Post>,
): (shown: Shown<Request, Response>) => void {
  check(tracker, options)
  const log = rateLimited(options.log)
  const tell = (what: string, error: unknown) => log('view.invalid', `${what}: ${describe(error)}`)

  return shown => {
    if (shown.raw.method !== 'GET') return
    shown.rawResponse.once('finish', () => {
      try {
        if (isShown(shown.rawResponse.statusCode)) track(shown)
      } catch (error) {
        // Thrown from an event listener, it would end the process.
        tell('a view is not tracked', error)
      }
    })
  }

  function track({ request, response, raw, params, ip }: Shown<Request, Response>): void {
    const post = typeof options.post === 'string' ? parameterOf(params()) : options.post(request, response)
    if (post === null || post === undefined) return
    refusePromise(post, 'post')
    if (leavesOut(request, post as Post)) return
    const user_id = options.user_id?.(request) ?? null
    refusePromise(user_id, 'user_id')
    const logged_in = options.logged_in?.(request)
    refusePromise(logged_in, 'logged_in')
    const view = viewFromRequest(raw, {
      post_uuid: idOf(post),
      user_id,
      ...(options.logged_in === undefined ? {} : { logged_in: Boolean(logged_in) }),
    })
    // Null: a prefetch, say, shows the post to nobody.
    if (view !== null) tracker.trackView({ ...view, ip: addressIn(ip() ?? '') ?? null })
  }

  function parameterOf(params: unknown): string {
    const value = (params as Record<string, unknown> | null | undefined)?.[String(options.post)]
    if (typeof value === 'string' && value !== '') return value
    throw new Error(`the route has no parameter ${String(options.post)} with a single value`)
  }

  function leavesOut(request: Request, post: Post): boolean {
    try {
      const isNoView = options.except?.(request, post)
      refusePromise(isNoView, 'except')
      return Boolean(isNoView)
    } catch (error) {
      tell('a view that `except` may have left out is counted', error)
      return false
    }
  }
}

/** 304: the browser shows its own copy. Express answers 304 by itself. */
function isShown(status: number): boolean {
  return (status >= 200 && status < 300) || status === 304
}

/** @throws {TypeError} when the post has no id */
function idOf(post: ShownPost): PostId {
  if (typeof post !== 'object') return post
  const { uuid, id } = post as { uuid?: PostId; id?: PostId }
  // An ObjectId has an `id`, but that is its bytes. The ObjectId itself is the id: `trackView` takes its text.
  const own = uuid ?? (ArrayBuffer.isView(id) ? undefined : id)
  if (own !== undefined && own !== null) return own
  if (String(post) === '[object Object]') throw new TypeError('the post has neither uuid nor id')
  return post as unknown as PostId
}

/** A promise is truthy whatever it resolves to, and nothing here awaits it. */
function refusePromise(value: unknown, option: string): void {
  if (typeof (value as PromiseLike<unknown> | null | undefined)?.then !== 'function') return
  if (value instanceof Promise) value.catch(() => {})
  throw new TypeError(`${option} returned a promise; it must return its value at once`)
}

function check<Request, Response, Post extends ShownPost>(
  tracker: Pick<Tracker, 'trackView'>,
  options: TrackViewOptions<Request, Response, Post>,
): void {
  if (typeof tracker?.trackView !== 'function') throw new TypeError('trackView needs a tracker')
  const { post, ...others } = options ?? {}
  if (typeof post !== 'function' && (typeof post !== 'string' || post === ''))
    throw new TypeError('post must be the name of a parameter of the route, or a function')
  for (const name of ['user_id', 'logged_in', 'except', 'log'] as const)
    if (others[name] !== undefined && typeof others[name] !== 'function')
      throw new TypeError(`${name} must be a function`)
}
