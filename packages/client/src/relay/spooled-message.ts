import { uuidv7 } from '../uuid.ts'
import { idIn, jsonOf, type Span } from './record.ts'

/** Events that are published as one message. */
export interface SpooledMessage {
  /** The AMQP message_id: the event's own if it is alone. */
  id: string
  /**
   * The JSON of one event, or of an array of them. Bytes, because V8 moves strings during garbage collection:
   * that took more than half of the time of a drain.
   */
  json: Buffer
  events: number
}

export interface MessageLimits {
  maxEventsPerMessage: number
  maxMessageBytes: number
}

const OPENING = 0x5b
const COMMA = 0x2c
const CLOSING = 0x5d

/** Joins the events of these records to messages. */
export function messagesOf(
  bytes: Buffer,
  bodies: readonly Span[],
  { maxEventsPerMessage, maxMessageBytes }: MessageLimits,
): SpooledMessage[] {
  const messages: SpooledMessage[] = []
  let group: Span[] = []
  /** A bracket, and each event with the comma or the bracket behind it. */
  let groupBytes = 1
  const close = () => {
    if (group.length > 0) messages.push(messageOf(bytes, group, groupBytes))
    group = []
    groupBytes = 1
  }
  for (const body of bodies) {
    const json = jsonOf(body)
    const jsonBytes = json.end - json.start + 1
    if (group.length === maxEventsPerMessage || groupBytes + jsonBytes > maxMessageBytes) close()
    group.push(body)
    groupBytes += jsonBytes
  }
  close()
  return messages
}

function messageOf(bytes: Buffer, bodies: readonly Span[], arrayBytes: number): SpooledMessage {
  // Not from Buffer's pool: a message that waits would keep the whole pool in memory.
  if (bodies.length === 1) {
    const { start, end } = jsonOf(bodies[0]!)
    const json = Buffer.allocUnsafeSlow(end - start)
    bytes.copy(json, 0, start, end)
    return { id: idIn(bytes, bodies[0]!), json, events: 1 }
  }
  const array = Buffer.allocUnsafeSlow(arrayBytes)
  let at = 0
  for (const body of bodies) {
    array[at] = at === 0 ? OPENING : COMMA
    at++
    const { start, end } = jsonOf(body)
    at += bytes.copy(array, at, start, end)
  }
  array[at] = CLOSING
  return { id: uuidv7(), json: array, events: bodies.length }
}
