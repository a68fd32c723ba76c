/** The publisher that keeps books (see ledger.ts), with a relay in the broker's place: `ok` is its confirm. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Ledger, LedgerMessage } from './ledger.ts'
import { connectLines, type RelayLines } from './relay-lines.ts'

/** Sent before the first of them is answered. */
const LINES_AT_ONCE = 200
const AGAIN_MS = 50
const ANSWER_MS = 60_000
const TEMPORARY = /^refused: (full|disk|stopping): /

export interface RelayPublishing {
  /** Each is on a connection of its own. 4. */
  connections?: number
  /** Told how many more were answered. */
  onAnswers?: (count: number) => void
}

/**
 * Sends every event, a line each, until it is answered `ok` or refused for good; what was not answered when a connection ended,
 * or was refused for now, is sent again, the same to the byte. A refusal for good is in the book as what came back.
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

/** One generator for all connections: each takes the next part, and none takes one twice. */
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
        return [] // It is away: that is what these tests do to it.
      }
    }
    return this.#relay.ask(
      messages.map(({ body }) => body.toString()),
      ANSWER_MS,
    )
  }
}
