/** Limits the wait for the broker. A queue without a majority and a node that hangs neither answer nor close anything. */

/** Usually enough for a quorum queue to get a new leader, which may take 8 to 11 s after its node has hung. */
const ANSWER_MS = 10_000

/**
 * The broker does not answer, though the connection seems alive: another process of the node sends its heartbeats. Such a
 * connection is not closed in order, because the node would not answer that either.
 */
export class Unanswered extends Error {
  override name = 'Unanswered'
}

/**
 * Waits for an answer of the broker, with a limit. A late answer is ignored.
 *
 * @param what the question, for the message: `consume`
 * @throws {Unanswered} when no answer comes in time; the broker's error when it refuses
 */
export async function answered<T>(answer: Promise<T>, what: string, withinMs = ANSWER_MS): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => late.reject(new Unanswered(`the broker has not answered within ${withinMs} ms: ${what}`)),
    withinMs,
  )
  // A rejection that comes too late must not be unhandled.
  answer.catch(() => {})
  try {
    return await Promise.race([answer, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
