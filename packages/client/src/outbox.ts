import { uuidv7 } from './uuid.ts'

/** What travels, and is confirmed or sent again, as one. */
export interface Message {
  /** The AMQP message_id: the event's own id if it is alone and has a UUID, else one of the message's own. */
  id: string
  /** The JSON of one event, or of an array of them. Text, because a Buffer for each costs far more memory. */
  json: string
  events: number
  /** Of the events' JSON. */
  bytes: number
  /** It came back as unroutable since it was sent. */
  isReturned: boolean
  /** When it was last sent, if it was; `performance.now()`. */
  sentAtMs: number | undefined
  next: Message | undefined
}

export interface OutboxLimits {
  maxBufferedEvents: number
  maxBufferedBytes: number
  maxEventsPerMessage: number
  maxMessageBytes: number
}

/**
 * The events that were accepted and are not confirmed yet, never more of them than the limits say.
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

  /** Adds an event to the open group; false, and nothing is kept, when that would break a limit. */
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
    this.#append({ id, json, events, bytes, isReturned: false, sentAtMs: undefined, next: undefined })
    this.#group = []
    this.#groupBytes = 0
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

  /** A taken message has to be sent again, after those that wait: one the broker never takes must not block them. */
  putBack(message: Message): void {
    message.isReturned = false
    this.#append(message)
  }

  /** A taken message is done with. */
  settle(message: Message): void {
    this.#events -= message.events
    this.#bytes -= message.bytes
  }

  /** Gives up all that waits; the JSON of each event. Nothing may be taken at this moment. */
  empty(): string[] {
    this.seal()
    const events: string[] = []
    for (let message = this.take(); message !== undefined; message = this.take()) {
      this.settle(message)
      if (message.events === 1) events.push(message.json)
      else for (const event of JSON.parse(message.json)) events.push(JSON.stringify(event))
    }
    return events
  }

  #append(message: Message): void {
    if (this.#last === undefined) this.#first = message
    else this.#last.next = message
    this.#last = message
  }
}
