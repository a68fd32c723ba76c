/**
 * Caches answers of Analytics. A question that many browsers ask is asked twice a second at most. While
 * Analytics is away, the last answer is given, marked with the time since when.
 */

import { ByteCache, entryBytes } from '@postviews/client/src/byte-cache.ts'
import { StatsRefused, StatsUnavailable } from '@postviews/client/src/index.ts'
import { describeError, type Log } from './log.ts'
import type { Known, Unavailable } from './pages/model.ts'

/** How long an answer is reused without asking. */
const ANSWER_HOLDS_MS = 500
/** For each kind of question: some hundred answers, or fewer long ones. */
const KEPT_BYTES = 16 * 1_048_576

export interface Loaded<Data> {
  data: Data
  /** ISO 8601. */
  asOf: string
}

interface Answer<Data> extends Loaded<Data> {
  /** Milliseconds of the clock of `Answers`. */
  readAt: number
  /** Since when this question has had no answer, though others may have: ISO 8601. */
  lostSince?: string
}

/** Whether Analytics answers, and if not, since when; shared by all who ask it. */
export class Availability {
  readonly #log: Log
  readonly #now: () => number
  #lostAt: number | null = null

  constructor(log: Log, now: () => number = Date.now) {
    this.#log = log
    this.#now = now
  }

  answered(): void {
    if (this.#lostAt === null) return
    this.#log.info({ away_seconds: Math.round((this.#now() - this.#lostAt) / 1_000) }, 'analytics.back')
    this.#lostAt = null
  }

  /**
   * Asks only to learn whether Analytics answers, so that the start of an outage is known even if nobody looks.
   * Never rejects.
   */
  async check(ask: () => Promise<unknown>): Promise<void> {
    try {
      await ask()
      this.answered()
    } catch (error) {
      // Any other error is reported by the page that asks.
      if (meansUnavailable(error)) this.failed(error)
    }
  }

  /** @throws the error itself, if it does not mean that Analytics is unavailable */
  failed(error: unknown): Unavailable {
    if (!meansUnavailable(error)) throw error
    if (this.#lostAt === null) {
      this.#lostAt = this.#now()
      this.#log.error({ error: describeError(error) }, 'analytics.lost')
    }
    const reason = error instanceof StatsRefused ? 'refused' : 'away'
    return { since: new Date(this.#lostAt).toISOString(), reason }
  }
}

function meansUnavailable(error: unknown): boolean {
  return error instanceof StatsUnavailable || error instanceof StatsRefused
}

/** The most recently used answers to questions of one kind. */
export class Answers<Data> {
  readonly #availability: Availability
  readonly #now: () => number
  readonly #kept = new ByteCache<Answer<Data>>(KEPT_BYTES)
  readonly #loading = new Map<string, Promise<Known<Data>>>()

  /** @param now milliseconds of a monotonic clock */
  constructor(availability: Availability, now: () => number = () => performance.now()) {
    this.#availability = availability
    this.#now = now
  }

  /**
   * @param key identifies the question; callers that ask the same while it is being read get the same answer
   * @throws {StatsBadRequest} and whatever else `load` throws that does not mean that Analytics is unavailable
   */
  ask(key: string, load: () => Promise<Loaded<Data>>): Promise<Known<Data>> {
    const kept = this.#kept.get(key)
    if (kept !== undefined && this.#now() - kept.readAt < ANSWER_HOLDS_MS) {
      return Promise.resolve({ data: kept.data, asOf: kept.asOf, unavailable: null })
    }
    const running = this.#loading.get(key)
    if (running !== undefined) return running
    const loading = this.#load(key, load).finally(() => this.#loading.delete(key))
    this.#loading.set(key, loading)
    return loading
  }

  async #load(key: string, load: () => Promise<Loaded<Data>>): Promise<Known<Data>> {
    try {
      const loaded = await load()
      this.#availability.answered()
      this.#keep(key, { ...loaded, readAt: this.#now() })
      return { ...loaded, unavailable: null }
    } catch (error) {
      const unavailable = this.#availability.failed(error)
      const kept = this.#kept.get(key)
      if (kept === undefined) return { data: null, asOf: null, unavailable }
      kept.lostSince ??= unavailable.since
      return { data: kept.data, asOf: kept.asOf, unavailable: { ...unavailable, since: kept.lostSince } }
    }
  }

  #keep(key: string, answer: Answer<Data>): void {
    // Objects take about twice as much memory as their JSON has characters.
    this.#kept.set(key, answer, entryBytes(key, JSON.stringify(answer.data)))
  }
}
