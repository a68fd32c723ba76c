/** Views for tests, received as the consumer receives them; fields that a test does not set have defaults. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { View } from '@postviews/client/src/index.ts'
import { StoreUnavailable } from '../../packages/analytics/src/store/failures.ts'
import type { ReceivedView, Recorded, Store } from '../../packages/analytics/src/store/store.ts'
import { uuidv7 } from '../../packages/client/src/uuid.ts'

export const POST = '0f8fad5b-d9cb-469f-a165-70867728950e'
export const OTHER_POST = '5f0c9a3e-6f0d-4c8e-9b1a-2f7d6f1f8a11'
export const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
export const SAFARI =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1'
export const GOOGLEBOT = 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)'

const PATIENCE_MS = 60_000

/** Unix seconds of an ISO 8601 time. */
export function unix(time: string): number {
  return Date.parse(time) / 1_000
}

/** A view at that time (ISO 8601) with its own id, by an anonymous reader (unless `fields` has a user id) with a browser. */
export function view(time: string, fields: Partial<View> = {}): View {
  return {
    eventId: uuidv7(),
    postUuid: POST,
    userId: null,
    loggedIn: (fields.userId ?? null) !== null,
    ip: '192.0.2.1',
    userAgent: FIREFOX,
    referer: null,
    url: null,
    viewedAt: unix(time),
    ownTime: fields.viewedAt ?? unix(time),
    timeSource: 'event',
    index: null,
    ...fields,
  }
}

export interface Reception {
  /** Unix seconds; a second after each view by default. */
  receivedAt?: number
}

export function received(views: readonly View[], { receivedAt }: Reception = {}): ReceivedView[] {
  return views.map(view => ({ view, receivedAt: receivedAt ?? view.viewedAt + 1 }))
}

export function record(store: Store, views: readonly View[], reception?: Reception): Promise<Recorded> {
  return store.recordViews(received(views, reception))
}

/** The answer of `recordViews` for that many new views and duplicates. An engine that counts later cannot tell them apart yet. */
export function outcomeOf(store: Store, counted: number, duplicates: number): Recorded {
  return store.roll === undefined
    ? { counted, duplicates }
    : { counted: counted + duplicates, duplicates: null }
}

/** Retries as a consumer does: when another writer interfered, the work is repeated. */
export async function untilAvailable<T>(work: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || Date.now() > deadline) throw error
      await sleep(10)
    }
  }
}
