/** How long the broker is waited for. A queue without a majority, and a node that hangs, answer nothing and close nothing. */

/** Longer than a new leader of a quorum queue takes as a rule, which may be 8 to 11 s after its node has hung. */
const ANSWER_MS = 10_000

/**
 * The broker does not answer, though the connection seems well: its heartbeats are those of another process of the node. Such a
 * connection is not closed in order, which it would not answer either.
 */
export class Unanswered extends Error {
  override name = 'Unanswered'
}

/**
 * Waits for an answer of the broker, but not for ever. An answer that comes too late is ignored.
 *
 * @param what the question, for the message: `consume`
 * @throws {Unanswered} when it comes late; what the question was refused with
 */
export async function answered<T>(answer: Promise<T>, what: string, withinMs = ANSWER_MS): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => late.reject(new Unanswered(`the broker has not answered within ${withinMs} ms: ${what}`)),
    withinMs,
  )
  // Heard of above, where it is in time.
  answer.catch(() => {})
  try {
    return await Promise.race([answer, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
