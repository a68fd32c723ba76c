/** Keeps answers that were expensive to make, to give them more than once. */

const TIMES_AS_LONG = 10
const LONGEST_MS = 3_000
const MAX_ANSWERS = 200

/**
 * Gives the same answer to the same question for ten times as long as it took to make, at most 3 s, and makes it once for
 * all who ask meanwhile. So a question takes at most a tenth of one connection's time, however often it is asked, and a
 * fast answer is always made anew. An answer includes the time at which it was read.
 */
export class AnswerCache {
  readonly #held = new Map<string, { answer: Promise<unknown>; askedMs: number; untilMs: number }>()
  readonly #nowMs: () => number

  /** @param nowMs a clock that never goes back */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
  }

  get<T>(question: string, maxAgeMs: number, make: () => Promise<T>): Promise<T> {
    const startedAt = this.#nowMs()
    const found = this.#held.get(question)
    // The same question always has an answer of the same type.
    if (found !== undefined && startedAt < Math.min(found.untilMs, found.askedMs + maxAgeMs))
      return found.answer as Promise<T>
    const held = { answer: make(), askedMs: startedAt, untilMs: startedAt + LONGEST_MS }
    if (this.#held.size >= MAX_ANSWERS) this.#held.clear()
    this.#held.set(question, held)
    held.answer.then(
      () => {
        const tookMs = this.#nowMs() - startedAt
        held.untilMs = startedAt + Math.min(LONGEST_MS, tookMs * (1 + TIMES_AS_LONG))
      },
      () => {
        if (this.#held.get(question) === held) this.#held.delete(question)
      },
    )
    return held.answer as Promise<T>
  }
}
