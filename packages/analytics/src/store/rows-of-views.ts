/**
 * From the views that a store is given to the rows that it keeps. Readers are hashed under the key of their day. Another
 * process may close a day, and destroy its key, after this one has asked for it: the engine refuses such rows
 * (`KeyReplaced`), and they are derived again under the key that is recorded then.
 */

import { randomUUID } from 'node:crypto'
import type { Calendar, Day } from './calendar.ts'
import type { CountingSettings } from './counting-settings.ts'
import { RowRejected, StoreUnavailable } from './failures.ts'
import { KeyReplaced } from './key-replaced.ts'
import { BotList, type IpStorage, type KeptRow, toRow } from './row.ts'
import type { ReceivedView, Recorded } from './store.ts'

/** Of days. A batch may be of more. */
const KEYS_CACHED = 1_000
/** How often a batch is derived before the store is told to be unavailable: somebody closes days as fast as they are opened. */
const TRIES = 5
/** What the readers of `ownView` are hashed under. Rehearsals take any key for the recorded one, so that none has to be made. */
const ANY_KEY = '0'.repeat(64)

export interface DerivedRows {
  rows: readonly KeptRow[]
  /** What each of them was derived from. */
  views: readonly ReceivedView[]
  /** The key of each day, which its readers were hashed under. */
  keys: ReadonlyMap<Day, string>
}

export interface RowsOptions {
  /** Read anew for each batch: `uniqueBy` may be learned after the store was opened. */
  settings: CountingSettings
  calendar: Calendar
  ipStorage: IpStorage
  /** The recorded key of a day; of a day without one it makes one, and opens a closed day again. */
  askKey(day: Day): Promise<string>
}

export class RowsOfViews {
  readonly #options: RowsOptions
  readonly #bots = new BotList()
  readonly #keys = new Map<Day, string>()
  readonly #asked = new Map<Day, Promise<string>>()
  /** Days whose key was replaced since a batch was last recorded. */
  readonly #closedMeanwhile = new Set<Day>()
  /** Whether a key was asked for since a store last set this to false. */
  hasAskedKeys = false

  constructor(options: RowsOptions) {
    this.#options = options
  }

  /** Has the engine keep the rows of the views. */
  async record(
    views: readonly ReceivedView[],
    keep: (derived: DerivedRows) => Promise<Recorded>,
  ): Promise<Recorded> {
    if (views.length === 0) return { counted: 0, duplicates: 0 }
    for (let tries = 1; ; tries++) {
      try {
        const days = this.#daysOf(views)
        // Without waiting where it can: a store that is closed next has been given the batch by then.
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

  /** Has the engine keep the rows of the views, and undo it. Without views it tries one of our own, and asks for no key. */
  async rehearse(
    views: readonly ReceivedView[],
    keep: (derived: DerivedRows) => Promise<unknown>,
  ): Promise<void> {
    try {
      const tried = views.length > 0 ? views.map(underAnotherId) : [ownView()]
      const days = this.#daysOf(tried)
      // Opening a day again may be what fails.
      const keys =
        views.length > 0 ? await this.#recordedKeys(days) : new Map([...days].map(day => [day, ANY_KEY]))
      await keep({ rows: this.#rowsUnder(keys, tried), views: tried, keys })
    } catch (error) {
      // The row is what is wrong, by a rule of the users' own, say, and not the store.
      if (!(error instanceof RowRejected)) throw this.#failed(error)
    }
  }

  #failed(error: unknown): unknown {
    // While the store was away a day may have been closed, and its key with it.
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
    const { settings, calendar, ipStorage } = this.#options
    const context = {
      calendar,
      bots: this.#bots,
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

/** Of a view that is counted by now, no counter would be tried. */
function underAnotherId({ view, receivedAt }: ReceivedView): ReceivedView {
  return { view: { ...view, eventId: view.eventId && randomUUID() }, receivedAt }
}

/** A view that nobody has sent: it touches every table of a batch. */
function ownView(): ReceivedView {
  const now = Math.floor(Date.now() / 1_000)
  return {
    view: {
      eventId: randomUUID(),
      postUuid: randomUUID(),
      userId: '1',
      loggedIn: true,
      ip: '192.0.2.1',
      // Not a bot's, which may count for nothing.
      userAgent: null,
      referer: 'https://trial.invalid/',
      viewedAt: now,
      ownTime: null,
      timeSource: 'receipt',
      index: null,
    },
    receivedAt: now,
  }
}
