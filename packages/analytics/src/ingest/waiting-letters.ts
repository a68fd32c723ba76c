/** Dead letters that `postviews.dead` has not confirmed yet: to be sent, or in flight. */

import { bytesOf, type DeadLetter, setAsideId } from './dead-letter.ts'

export interface Waiting {
  readonly letter: DeadLetter
  readonly bytes: number
  readonly id: string
  readonly signal: AbortSignal
  isReturned: boolean
  /** How often the broker closed the channel while this letter was in flight. */
  suspicions: number
  /** By `performance.now()`: when it was last sent; undefined before the first time. */
  sentAtMs: number | undefined
  /** A connection was given up because this was not answered on it. */
  isOverdue: boolean
  /** By `performance.now()`: when it was first refused. */
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

  /** Bytes of all of them. */
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

  /** Ends the wait of a letter that is confirmed, given up or void. Does nothing if it waits no longer. */
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
    // One listener for all letters of a session: with thousands of listeners on a signal, removing one takes long.
    signal.addEventListener('abort', settle, { once: true })
  }
}
