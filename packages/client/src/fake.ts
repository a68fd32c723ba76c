/** `@postviews/client/testing`: a fake tracker for an application's tests. */

import { AssertionError } from 'node:assert'
import { encodeView } from './encode.ts'
import type { PostId } from './route-view.ts'
import type { DropReason, Tracker } from './tracker.ts'
import { canonicalPost, decodeMessage, INVALID_REASONS, type InvalidReason, type ViewEvent } from './view.ts'

/** A view as it is counted: ids are texts, and missing fields have their defaults. */
export interface TrackedView {
  event_id: string
  post_uuid: string
  user_id: string | null
  logged_in: boolean
  ip: string | null
  user_agent: string | null
  referer: string | null
  /** Only with the query parameters that are kept. */
  url: string | null
  /** ISO 8601 in UTC. */
  timestamp: string
}

/** The id of a post, or a function that says whether a view matches. */
export type PostOrCheck = PostId | ((view: TrackedView) => boolean)

/**
 * The assertions throw `AssertionError`. Each of them also throws if any tracked view would not be counted,
 * because it would be a dead letter or never be sent.
 */
export interface FakeTracker extends Tracker {
  /** The views so far, oldest first. */
  tracked(): TrackedView[]
  assertTracked(postOrCheck: PostOrCheck): void
  assertNotTracked(postOrCheck: PostOrCheck): void
  assertTrackedTimes(postOrCheck: PostOrCheck, times: number): void
  assertNothingTracked(): void
}

export interface FakeTrackerOptions {
  /** The `EVENT_MAX_AGE` of the service: older views would be dead letters. 30 days. */
  maxAgeSeconds?: number
}

/**
 * A tracker that sends nothing and connects to nobody:
 *
 *     const tracker = fakeTracker()
 *     await fetch(`${startApp({ tracker })}/posts/hello-world`)
 *     tracker.assertTracked('hello-world')
 *
 * It encodes views as the tracker does and reads them as the service does. The exception: PHP times in a zone
 * other than UTC, which only the service can read.
 */
export function fakeTracker({ maxAgeSeconds = 30 * 86_400 }: FakeTrackerOptions = {}): FakeTracker {
  const views: TrackedView[] = []
  const refused: string[] = []
  const droppedByReason: Record<DropReason, number> = {
    buffer_full: 0,
    unserializable: 0,
    too_large: 0,
    refused: 0,
    closed: 0,
  }
  let accepted = 0
  let isClosed = false

  function trackView(event: ViewEvent): void {
    accepted++
    const sent = isClosed ? 'closed' : encodeView(event)
    if (typeof sent === 'string') {
      droppedByReason[sent]++
      refused.push(`a view would be dropped as ${sent}`)
      return
    }
    const view = counted(sent.json, maxAgeSeconds)
    if (typeof view === 'string') {
      refused.push(`a view would be a dead letter, ${view}: ${INVALID_REASONS[view]}`)
    } else {
      views.push(view)
    }
  }

  function assertTimes(given: PostOrCheck, isRight: (count: number) => boolean, expected: string): void {
    const matches = checkOf(given)
    assertNoneRefused()
    const count = views.filter(matches).length
    if (!isRight(count)) fail(`the view was tracked ${times(count)}, not ${expected}; ${whatElse()}`)
  }

  function assertNoneRefused(): void {
    if (refused.length > 0) fail(refused.join('; '))
  }

  function whatElse(): string {
    const posts = views.map(({ post_uuid }) => post_uuid)
    return posts.length === 0 ? 'no view was tracked' : `tracked posts: ${posts.join(', ')}`
  }

  return {
    trackView,
    stats: () => {
      const dropped = Object.values(droppedByReason).reduce((sum, count) => sum + count)
      return {
        accepted,
        confirmed: accepted - dropped,
        pending: 0,
        pendingBytes: 0,
        dropped,
        droppedByReason: { ...droppedByReason },
        republished: 0,
        connected: !isClosed,
        blocked: false,
      }
    },
    flush: async () => 0,
    close: async () => {
      isClosed = true
    },
    tracked: () => structuredClone(views),
    assertTracked: given => assertTimes(given, count => count > 0, 'at least once'),
    assertNotTracked: given => assertTimes(given, count => count === 0, 'never'),
    assertTrackedTimes: (given, expected) => {
      if (!Number.isInteger(expected) || expected < 0) throw new TypeError('times must be a whole number')
      assertTimes(given, count => count === expected, times(expected))
    },
    assertNothingTracked: () => {
      assertNoneRefused()
      if (views.length > 0) fail(`no view was expected; ${whatElse()}`)
    },
  }
}

/** The view that the service counts, or why it would be a dead letter. */
function counted(json: string, maxAgeSeconds: number): TrackedView | InvalidReason {
  const now = { receivedAt: Date.now() / 1_000, maxAgeSeconds }
  const { views, invalid } = decodeMessage(Buffer.from(json), {}, now)
  const [view] = views
  if (view === undefined) return invalid[0]!.reason
  const { url = null } = JSON.parse(json) as { url?: string }
  return {
    event_id: view.eventId!,
    post_uuid: view.postUuid,
    user_id: view.userId,
    logged_in: view.loggedIn,
    ip: view.ip,
    user_agent: view.userAgent,
    referer: view.referer,
    url,
    timestamp: new Date(view.viewedAt * 1_000).toISOString(),
  }
}

function checkOf(given: PostOrCheck): (view: TrackedView) => boolean {
  if (typeof given === 'function') {
    return view => {
      const answer: unknown = given(view)
      // A promise, say, would be truthy for every view.
      if (typeof answer !== 'boolean') throw new TypeError('the check must return true or false')
      return answer
    }
  }
  const post = postOf(given)
  if (post === undefined) throw new TypeError('expected the id of a post or a function')
  return view => view.post_uuid === post
}

function postOf(id: unknown): string | undefined {
  if (typeof id === 'string') return canonicalPost(id)
  return (typeof id === 'number' && Number.isSafeInteger(id) && id > 0) || (typeof id === 'bigint' && id > 0n)
    ? canonicalPost(String(id))
    : undefined
}

function times(count: number): string {
  if (count === 0) return 'never'
  return count === 1 ? 'once' : `${count} times`
}

function fail(message: string): never {
  throw new AssertionError({ message: `postviews: ${message}` })
}
