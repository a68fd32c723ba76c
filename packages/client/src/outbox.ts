import { uuidv7 } from './uuid.ts'

const LONGEST_TIMER_MS = 2 ** 31 - 1

/** The unit that is sent, confirmed, and sent again. */
export interface Message {
  /** The AMQP message_id: the event's own id if it is alone and has a UUID, else one of the message's own. */
  id: string
  /** The JSON of one event, or of an array of them. The outbox makes strings: a Buffer for each costs far more memory. */
  json: string | Buffer
  events: number
  /** Of the events' JSON; for a message that was made elsewhere, of the whole message. */
  bytes: number
  /** The broker has returned it as unroutable since it was sent. */
  isReturned: boolean
  /** How often a link was lost while this was the only message in flight. */
  losses: number
  /** When it was last sent, if it was; `performance.now()`. */
  sentAtMs: number | undefined
  /** Set by the code that added it, to know where it came from. */
  mark: number
  next: Message | undefined
}

export type MadeMessage = Pick<Message, 'id' | 'json' | 'events' | 'bytes' | 'mark'>

const UNSENT = { isReturned: false, losses: 0, sentAtMs: undefined, next: undefined }

export interface OutboxLimits {
  maxBufferedEvents: number
  maxBufferedBytes: number
  maxEventsPerMessage: number
  maxMessageBytes: number
  /** Called for each message that is settled. */
  onSettled?: (message: Message) => void
}

/**
 * The events that were accepted and are not confirmed yet. `add` refuses an event that would exceed the limits.
 *
 * They wait in an open group until it is full or `seal` is called; the group is then a message, and stays the same
 * message until it is confirmed. Messages are taken, put back when they have to be sent again, and settled. Taken
 * ones count towards the limits like those that wait.
 */
export class Outbox {
  readonly #limits: OutboxLimits
  #group: string[] = []
  #groupBytes = 0
  #groupId: string | undefined
  #first: Message | undefined
  #last: Message | undefined
  #events = 0
  #bytes = 0
  /** Called when the outbox becomes empty. */
  readonly #waiting = new Set<() => void>()

  constructor(limits: OutboxLimits) {
    this.#limits = limits
  }

  /** Events in it, taken ones included. */
  get events(): number {
    return this.#events
  }

  /** Bytes of JSON in it, taken ones included. */
  get bytes(): number {
    return this.#bytes
  }

  get hasOpenGroup(): boolean {
    return this.#group.length > 0
  }

  get hasMessages(): boolean {
    return this.#first !== undefined
  }

  /** Adds an event to the open group; false, without adding it, if that would break a limit. */
  add(json: string, bytes: number, id: string | undefined): boolean {
    const { maxBufferedEvents, maxBufferedBytes, maxEventsPerMessage, maxMessageBytes } = this.#limits
    if (this.#events >= maxBufferedEvents || this.#bytes + bytes > maxBufferedBytes) return false
    // The brackets, and a comma for each event.
    if (this.#groupBytes + this.#group.length + bytes + 2 > maxMessageBytes) this.seal()
    if (this.#group.push(json) === 1) this.#groupId = id
    this.#groupBytes += bytes
    this.#events++
    this.#bytes += bytes
    if (this.#group.length >= maxEventsPerMessage) this.seal()
    return true
  }

  /** Makes the open group, if there is one, a message. */
  seal(): void {
    const events = this.#group.length
    if (events === 0) return
    const json = events === 1 ? this.#group[0]! : `[${this.#group.join(',')}]`
    const id = (events === 1 ? this.#groupId : undefined) ?? uuidv7()
    const bytes = this.#groupBytes
    this.#append({ ...UNSENT, id, json, events, bytes, mark: 0 })
    this.#group = []
    this.#groupBytes = 0
  }

  /** Adds a ready-made message, regardless of the limits. */
  addMessage(message: MadeMessage): void {
    this.#events += message.events
    this.#bytes += message.bytes
    this.#append({ ...UNSENT, ...message })
  }

  /** Takes the message that has waited longest. */
  take(): Message | undefined {
    const message = this.#first
    if (message === undefined) return undefined
    this.#first = message.next
    if (this.#first === undefined) this.#last = undefined
    message.next = undefined
    return message
  }

  /** Queues a taken message behind those that wait: one that the broker never takes must not block them. */
  putBack(message: Message): void {
    message.isReturned = false
    this.#append(message)
  }

  /**
   * Queues taken messages again after a lost link, before those that wait, so that the order stays. If a
   * message was the only one in flight at two losses, it may be their cause and goes behind the others.
   */
  putBackLost(messages: readonly Message[]): void {
    const [alone] = messages
    if (alone !== undefined && messages.length === 1 && ++alone.losses > 1) {
      this.putBack(alone)
      return
    }
    for (const message of messages.toReversed()) {
      message.isReturned = false
      this.#prepend(message)
    }
  }

  /** Removes a taken message for good. */
  settle(message: Message): void {
    this.#events -= message.events
    this.#bytes -= message.bytes
    this.#limits.onSettled?.(message)
    if (this.#events === 0) for (const done of [...this.#waiting]) done()
  }

  /** Waits until the outbox is empty, but no longer than this. */
  async emptied(deadlineMs: number): Promise<void> {
    if (this.#events === 0) return
    await new Promise<void>(resolve => {
      const done = () => {
        clearTimeout(timer)
        this.#waiting.delete(done)
        resolve()
      }
      const timer = setTimeout(done, Math.min(deadlineMs, LONGEST_TIMER_MS))
      this.#waiting.add(done)
    })
  }

  /** Removes everything that waits, and returns the JSON of each event. No message may be taken at this moment. */
  empty(): string[] {
    this.seal()
    const events: string[] = []
    for (let message = this.take(); message !== undefined; message = this.take()) {
      this.settle(message)
      const json = String(message.json)
      if (message.events === 1) events.push(json)
      else for (const event of JSON.parse(json)) events.push(JSON.stringify(event))
    }
    return events
  }

  #prepend(message: Message): void {
    message.next = this.#first
    this.#first = message
    this.#last ??= message
  }

  #append(message: Message): void {
    if (this.#last === undefined) this.#first = message
    else this.#last.next = message
    this.#last = message
  }
}
