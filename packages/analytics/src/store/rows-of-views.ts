/**
 * Turns the views that a store receives into the rows that it keeps. Readers are hashed under the key of their day. Another
 * process may close a day and destroy its key after this process has read it. Then the engine refuses the rows (`KeyReplaced`),
 * and they are derived again under the new key.
 */

import { randomUUID } from 'node:crypto'
import { decodeMessage } from '@postviews/client/src/index.ts'
import type { Who } from '../derive/who.ts'
import type { Calendar } from './calendar.ts'
import type { CountingSettings } from './counting-settings.ts'
import type { Day } from './days.ts'
import { RowRejected, StoreUnavailable } from './failures.ts'
import type { KeptRow } from './kept.ts'
import { KeyReplaced } from './key-replaced.ts'
import { type IpStorage, toRow } from './row.ts'
import type { ReceivedView, Recorded } from './store.ts'

/** Days whose keys are cached. A batch may have more days. */
const KEYS_CACHED = 1_000
/** How often a batch is derived before the store counts as unavailable: then days are being closed as fast as they are opened. */
const TRIES = 5
/** The key for the readers of `ownView`. A rehearsal accepts any key as the recorded one, so none has to be made. */
const ANY_KEY = '0'.repeat(64)

export interface DerivedRows {
  rows: readonly KeptRow[]
  /** The view from which each row was derived. */
  views: readonly ReceivedView[]
  /** The key under which the readers of each day were hashed. */
  keys: ReadonlyMap<Day, string>
}

export interface RowsOptions {
  /** Read anew for each batch: `uniqueBy` may be learned after the store was opened. */
  settings: CountingSettings
  calendar: Calendar
  ipStorage: IpStorage
  /** Read anew for each batch: the site's own hosts are learned after the store was opened. */
  who(): Who
  /** The recorded key of a day. If there is none, it makes one, and opens the day again if it was closed. */
  askKey(day: Day): Promise<string>
}

export class RowsOfViews {
  readonly #options: RowsOptions
  readonly #keys = new Map<Day, string>()
  readonly #asked = new Map<Day, Promise<string>>()
  /** Days whose key was replaced since a batch was last recorded. */
  readonly #closedMeanwhile = new Set<Day>()
  /** Whether a key was asked for since a store last set this to false. */
  hasAskedKeys = false

  constructor(options: RowsOptions) {
    this.#options = options
  }

  /** Derives the rows of the views, and lets the engine keep them. */
  async record(
    views: readonly ReceivedView[],
    keep: (derived: DerivedRows) => Promise<Recorded>,
  ): Promise<Recorded> {
    if (views.length === 0) return { counted: 0, duplicates: 0 }
    for (let tries = 1; ; tries++) {
      try {
        const days = this.#daysOf(views)
        // Without an `await` if all keys are cached: a store that is closed right after the call has then already received the
        // batch.
        const keys = this.#cachedKeys(days) ?? (await this.#recordedKeys(days))
        const recorded = await keep({ rows: this.#rowsUnder(keys, views), views, keys })
        if (this.#closedMeanwhile.size === 0) return recorded
        const closedMeanwhile = [...this.#closedMeanwhile]
        this.#closedMeanwhile.clear()
        return { ...recorded, closedMeanwhile }
      } catch (error) {
        if (!(error instanceof KeyReplaced)) throw this.#failed(error)
        this.#keys.clear()
        this.#closedMeanwhile.add(error.day)
        if (tries < TRIES) continue
        throw new StoreUnavailable(`${error.day} was closed by another process ${TRIES} times in a row`, {
          cause: error,
        })
      }
    }
  }

  /** Lets the engine keep the rows of the views, and undo it. If there are no views, it tries `ownView`, and asks for no key. */
  async rehearse(
    views: readonly ReceivedView[],
    keep: (derived: DerivedRows) => Promise<unknown>,
  ): Promise<void> {
    try {
      const tried = views.length > 0 ? views.map(underAnotherId) : [ownView()]
      const days = this.#daysOf(tried)
      // Keys are asked for because opening a day again may be what fails.
      const keys =
        views.length > 0 ? await this.#recordedKeys(days) : new Map([...days].map(day => [day, ANY_KEY]))
      await keep({ rows: this.#rowsUnder(keys, tried), views: tried, keys })
    } catch (error) {
      // The row is wrong, not the store: it breaks a constraint of the users' own, for example.
      if (!(error instanceof RowRejected)) throw this.#failed(error)
    }
  }

  #failed(error: unknown): unknown {
    // A day may have been closed while the store was away, and its key destroyed.
    if (error instanceof StoreUnavailable) this.#keys.clear()
    return error
  }

  #daysOf(views: readonly ReceivedView[]): Set<Day> {
    const { calendar } = this.#options
    const days = new Set<Day>()
    for (const { view } of views) days.add(calendar.dayOf(view.viewedAt))
    return days
  }

  /** Null unless all of them are cached. */
  #cachedKeys(days: ReadonlySet<Day>): Map<Day, string> | null {
    const keys = new Map<Day, string>()
    for (const day of days) {
      const key = this.#keys.get(day)
      if (key === undefined) return null
      keys.set(day, key)
    }
    return keys
  }

  async #recordedKeys(days: ReadonlySet<Day>): Promise<Map<Day, string>> {
    const keys = new Map<Day, string>()
    for (const day of days) keys.set(day, this.#keys.get(day) ?? (await this.#askOnce(day)))
    return keys
  }

  #rowsUnder(keys: ReadonlyMap<Day, string>, views: readonly ReceivedView[]): KeptRow[] {
    const { settings, calendar, ipStorage, who } = this.#options
    const context = {
      calendar,
      who: who(),
      uniqueBy: settings.uniqueBy,
      ipStorage,
      keyOf: (day: Day) => keys.get(day)!,
    }
    return views.map(({ view, receivedAt }) => toRow(view, receivedAt, context))
  }

  // A second batch that asked as well would wait for the first to be committed.
  #askOnce(day: Day): Promise<string> {
    let asked = this.#asked.get(day)
    if (asked === undefined) {
      asked = this.#ask(day).finally(() => this.#asked.delete(day))
      this.#asked.set(day, asked)
    }
    return asked
  }

  async #ask(day: Day): Promise<string> {
    const key = await this.#options.askKey(day)
    this.hasAskedKeys = true
    if (this.#keys.size >= KEYS_CACHED) this.#keys.clear()
    this.#keys.set(day, key)
    return key
  }
}

/** With its own id, a view that has been counted meanwhile would try no counter. */
function underAnotherId({ view, receivedAt }: ReceivedView): ReceivedView {
  return { view: { ...view, eventId: view.eventId && randomUUID() }, receivedAt }
}

/** A made-up view that touches every table of a batch. It has no user agent: views by bots may not count. */
function ownView(): ReceivedView {
  const receivedAt = Math.floor(Date.now() / 1_000)
  const event = {
    event_id: randomUUID(),
    post_uuid: randomUUID(),
    user_id: 1,
    ip: '192.0.2.1',
    referer: 'https://trial.invalid/',
  }
  const { views } = decodeMessage(
    Buffer.from(JSON.stringify(event)),
    {},
    { receivedAt, maxAgeSeconds: Infinity },
  )
  return { view: views[0]!, receivedAt }
}
