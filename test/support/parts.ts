import type { LedgerMessage } from './ledger.ts'

/** Messages in parts: each part is handed out when it is released. */
export class Parts {
  readonly #messages: readonly LedgerMessage[]
  readonly #size: number
  #released = 0
  #wake = () => {}

  constructor(messages: readonly LedgerMessage[], parts: number) {
    this.#messages = messages
    this.#size = Math.ceil(messages.length / parts)
  }

  release(): void {
    this.#released += this.#size
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<LedgerMessage> {
    for (const [index, message] of this.#messages.entries()) {
      while (index >= this.#released) await new Promise<void>(resolve => (this.#wake = resolve))
      yield message
    }
  }
}
