/** Many questions of one kind, asked as one: a server answers a hundred posts almost as fast as one. */

/** One question is under way at a time; whatever is asked meanwhile goes into the next. */
export class Together<Answer> {
  readonly #ask: (keys: string[]) => Promise<Map<string, Answer>>
  #waiting = new Set<string>()
  #next: Promise<Map<string, Answer>> | undefined
  #underWay: Promise<unknown> = Promise.resolve()

  /** @param ask answers about keys, each once */
  constructor(ask: (keys: string[]) => Promise<Map<string, Answer>>) {
    this.#ask = ask
  }

  ask(keys: readonly string[]): Promise<Map<string, Answer>> {
    for (const key of keys) this.#waiting.add(key)
    this.#next ??= this.#start()
    return this.#next
  }

  async #start(): Promise<Map<string, Answer>> {
    // Its own callers were told of a failure.
    await this.#underWay.catch(() => {})
    const keys = [...this.#waiting]
    this.#waiting.clear()
    this.#next = undefined
    const answers = this.#ask(keys)
    this.#underWay = answers
    return answers
  }
}
