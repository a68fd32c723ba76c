/** Dead letters that `postviews.dead` has not confirmed yet, those to be sent and those under way. */

import { bytesOf, type DeadLetter, setAsideId } from './dead-letter.ts'

export interface Waiting {
  readonly letter: DeadLetter
  readonly bytes: number
  readonly id: string
  readonly signal: AbortSignal
  isReturned: boolean
  /** How often the broker closed the channel on something that was in flight, while this was. */
  suspicions: number
  /** By `performance.now()`: sent for the last time; undefined before the first. */
  sentAtMs: number | undefined
  /** A connection was given up because this was not answered on it. */
  isOverdue: boolean
  /** By `performance.now()`: refused for the first time. */
  refusedAtMs: number | undefined
  /** Called once, when it waits no longer, for whatever reason. */
  done(): void
}

export class WaitingLetters {
  /** By set-aside-id. A message that is delivered twice may have two letters of one id. */
  readonly #byId = new Map<string, Set<Waiting>>()
  readonly #watched = new WeakSet<AbortSignal>()
  /** To be sent, in their order. */
  readonly unsent = new Set<Waiting>()
  /** Refused or returned, and soon to be sent again. */
  readonly refused = new Set<Waiting>()
  #bytes = 0

  /** What all of them take. */
  get bytes(): number {
    return this.#bytes
  }

  /** @param signal is aborted when the letter is void, because the broker will deliver its message again */
  add(letter: DeadLetter, signal: AbortSignal, done: () => void): Waiting {
    this.#settleWhenVoid(signal)
    const waiting: Waiting = {
      letter,
      bytes: bytesOf(letter),
      id: setAsideId(letter),
      signal,
      isReturned: false,
      suspicions: 0,
      sentAtMs: undefined,
      isOverdue: false,
      refusedAtMs: undefined,
      done,
    }
    this.#bytes += waiting.bytes
    this.unsent.add(waiting)
    const others = this.#byId.get(waiting.id)
    if (others === undefined) this.#byId.set(waiting.id, new Set([waiting]))
    else others.add(waiting)
    return waiting
  }

  all(): Waiting[] {
    return [...this.#byId.values()].flatMap(waiting => [...waiting])
  }

  has(waiting: Waiting): boolean {
    return this.#byId.get(waiting.id)?.has(waiting) ?? false
  }

  /** It is confirmed, given up, or void. A letter that waits no longer is passed over. */
  settle(waiting: Waiting): void {
    if (!this.has(waiting)) return
    this.#bytes -= waiting.bytes
    this.refused.delete(waiting)
    this.unsent.delete(waiting)
    const others = this.#byId.get(waiting.id)
    others?.delete(waiting)
    if (others?.size === 0) this.#byId.delete(waiting.id)
    waiting.done()
  }

  #settleWhenVoid(signal: AbortSignal): void {
    if (this.#watched.has(signal)) return
    this.#watched.add(signal)
    const settle = () => {
      for (const waiting of this.all()) if (waiting.signal === signal) this.settle(waiting)
    }
    // One listener for all letters of a session: taking one of thousands off a signal takes longer the more there are.
    signal.addEventListener('abort', settle, { once: true })
  }
}
