/** The publisher with a ledger (see ledger.ts), with a relay in place of the broker: `ok` is its confirm. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Ledger, LedgerMessage } from './ledger.ts'
import { connectLines, type RelayLines } from './relay-lines.ts'

/** Lines sent before the first of them is answered. */
const LINES_AT_ONCE = 200
const AGAIN_MS = 50
const ANSWER_MS = 60_000
const TEMPORARY = /^refused: (full|disk|stopping): /

export interface RelayPublishing {
  /** Default 4. */
  connections?: number
  /** Gets the number of new answers. */
  onAnswers?: (count: number) => void
}

/**
 * Sends every event as a line until it is answered `ok` or refused permanently. A line without an answer when the connection
 * ends, or refused temporarily, is sent again with the same bytes. The ledger lists permanent refusals as returned.
 */
export async function publishByRelay(
  socketPath: string,
  ledger: Ledger,
  messages: Iterable<LedgerMessage> | AsyncIterable<LedgerMessage>,
  { connections = 4, onAnswers = () => {} }: RelayPublishing = {},
): Promise<void> {
  const parts = inParts(messages)
  const send = async () => {
    const connection = new Connection(socketPath, ledger)
    for await (const part of parts) await connection.send(part, onAnswers)
    connection.end()
  }
  await Promise.all(Array.from({ length: connections }, send))
}

/** One generator for all connections, so that each part is taken only once. */
async function* inParts(
  messages: Iterable<LedgerMessage> | AsyncIterable<LedgerMessage>,
): AsyncGenerator<LedgerMessage[]> {
  let part: LedgerMessage[] = []
  for await (const message of messages) {
    part.push(message)
    if (part.length < LINES_AT_ONCE) continue
    yield part
    part = []
  }
  if (part.length > 0) yield part
}

class Connection {
  readonly #socketPath: string
  readonly #ledger: Ledger
  #relay: RelayLines | undefined

  constructor(socketPath: string, ledger: Ledger) {
    this.#socketPath = socketPath
    this.#ledger = ledger
  }

  async send(messages: readonly LedgerMessage[], onAnswers: (count: number) => void): Promise<void> {
    await this.#ledger.write('attempted', messages)
    let left = messages
    while (left.length > 0 && !this.#ledger.closing.aborted) {
      const answers = await this.#ask(left)
      const answered = (isSo: (answer: string) => boolean) =>
        left.filter((_, index) => answers[index] !== undefined && isSo(answers[index]))
      const confirmed = answered(answer => answer === 'ok')
      const returned = answered(answer => answer !== 'ok' && !TEMPORARY.test(answer))
      await this.#ledger.write('confirmed', confirmed)
      await this.#ledger.write('returned', returned)
      onAnswers(confirmed.length + returned.length)
      const done = new Set([...confirmed, ...returned])
      left = left.filter(message => !done.has(message))
      if (left.length > 0) await sleep(AGAIN_MS)
    }
  }

  end(): void {
    this.#relay?.destroy()
  }

  async #ask(messages: readonly LedgerMessage[]): Promise<string[]> {
    if (this.#relay === undefined || this.#relay.isClosed) {
      try {
        this.#relay = await connectLines(this.#socketPath)
      } catch {
        return [] // The relay is away: these tests cause that.
      }
    }
    return this.#relay.ask(
      messages.map(({ body }) => body.toString()),
      ANSWER_MS,
    )
  }
}
