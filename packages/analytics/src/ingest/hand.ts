import type { Delivery } from './batch.ts'
import type { Prefetch } from './prefetch.ts'

export interface HandOptions {
  batchEvents: number
  batchMessages: number
  /** So long the first delivery of a batch waits for others. */
  batchWaitMs: number
  /** The broker delivers no more than this before something is acknowledged. */
  prefetch: Prefetch
  /** Nothing more is delivered, or what is in hand will be delivered again. */
  isOver(): boolean
}

/** What a session was delivered and has in no batch yet, in the order of its tags; given out a batch's worth at a time. */
export class Hand {
  readonly #options: HandOptions
  #deliveries: Delivery[] = []
  #events = 0
  /** To be called when something has changed that a waiting `take` looks at. */
  wake: () => void = () => {}

  constructor(options: HandOptions) {
    this.#options = options
  }

  get deliveries(): readonly Delivery[] {
    return this.#deliveries
  }

  put(delivery: Delivery): void {
    this.#deliveries.push(delivery)
    this.#events += eventsOf(delivery)
    this.wake()
  }

  /** Waits until there is a batch's worth, or the first delivery has waited long enough; empty when there is no more. */
  async take(): Promise<Delivery[]> {
    const { batchEvents, batchMessages, batchWaitMs } = this.#options
    const isEmpty = () => this.#deliveries.length === 0
    if (isEmpty()) await this.#until(() => !isEmpty() || this.#isFull())
    if (!this.#isFull()) await this.#until(() => this.#isFull(), batchWaitMs)

    let events = 0
    let count = 0
    const most = Math.min(this.#deliveries.length, batchMessages)
    while (count < most && events < batchEvents) events += eventsOf(this.#deliveries[count++]!)
    this.#events -= events
    return this.#deliveries.splice(0, count)
  }

  #isFull(): boolean {
    const { batchEvents, batchMessages, prefetch, isOver } = this.#options
    const messages = this.#deliveries.length
    return (
      this.#events >= batchEvents || messages >= batchMessages || messages >= prefetch.messages || isOver()
    )
  }

  #until(condition: () => boolean, timeoutMs?: number): Promise<void> {
    if (condition()) return Promise.resolve()
    return new Promise(resolve => {
      const done = () => {
        clearTimeout(timer)
        this.wake = () => {}
        resolve()
      }
      const timer = timeoutMs === undefined ? undefined : setTimeout(done, timeoutMs)
      this.wake = () => {
        if (condition()) done()
      }
    })
  }
}

function eventsOf({ views, invalid }: Delivery): number {
  return views.length + invalid.length
}
