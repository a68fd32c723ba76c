import { type Delivery, eventsOf } from './batch.ts'
import type { Prefetch } from './prefetch.ts'

export interface HandOptions {
  batchEvents: number
  batchMessages: number
  /** How long the first delivery of a batch waits for others. */
  batchWaitMs: number
  /** The broker delivers no more than this before something is acknowledged. */
  prefetch: Prefetch
  /** Whether nothing more is delivered, or the broker will deliver again what is in hand. */
  isOver(): boolean
}

/** Deliveries of a session that are in no batch yet, in the order of their tags. `take` hands out one batch at a time. */
export class Hand {
  readonly #options: HandOptions
  #deliveries: Delivery[] = []
  #events = 0
  /** Must be called when something changes that a waiting `take` depends on. */
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

  /** Waits until a batch is full, or its first delivery has waited long enough. Empty when no more will come. */
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
