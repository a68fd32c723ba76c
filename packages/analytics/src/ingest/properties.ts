/**
 * Reads the AMQP properties of a message, whatever they hold.
 *
 * amqplib 2.3.1 closes the connection at a header it cannot read (an unknown type, such as the `L` of py-amqp, or tables
 * nested too deep). The broker would then deliver the same message again, for ever, and the consumer would count nothing
 * else. So the service reads content headers itself: `readAnyProperties` replaces that part of amqplib.
 *
 * Sources: AMQP 0-9-1, sections 4.2.5 and 4.2.6; https://www.rabbitmq.com/amqp-0-9-1-errata for the field types.
 */

import { isUtf8 } from 'node:buffer'
import type { Readable } from 'node:stream'
import type { ChannelModel, Message } from 'amqplib'

/** A value that amqplib writes with exactly the named type, `{ '!': 'int64', value: 7n }`. */
export interface TypedValue {
  '!': string
  value: number | bigint | { places: number; digits: number }
}

/** A header's value, in the form that amqplib can write again. Bytes that are not UTF-8 are a Buffer. */
export type FieldValue = string | boolean | null | Buffer | TypedValue | FieldValue[] | Fields

/** Without a prototype: a header may have any name. */
export interface Fields {
  [name: string]: FieldValue
}

/** A header table, as far as it can be read. */
export interface Headers {
  fields: Fields
  /** How many bytes each of the fields takes on the wire, its name included. */
  bytes: Map<string, number>
  /** Names of unreadable fields (`?` if the name is unreadable, too); a last `…` stands for all that follow. */
  unread: string[]
}

/** Tables and arrays inside each other, the header table not counted. A header that goes deeper is unread. */
export const MAX_DEPTH = 32

/** The property list of a content header (flags, then values). Each value is read when it is asked for. */
export class Properties {
  /** To the byte as it was delivered. */
  readonly raw: Buffer
  #headers: Headers | undefined

  constructor(raw: Buffer) {
    this.raw = raw
  }

  get messageId(): string | undefined {
    return textOf(bytesOf(this.raw, 'messageId'))
  }

  /** The AMQP timestamp, in whatever unit its publisher used. */
  get timestamp(): number | bigint | undefined {
    const value = bytesOf(this.raw, 'timestamp')
    return value === undefined ? undefined : fitting(value.readBigUInt64BE())
  }

  /** The headers that matter for decoding an event. */
  get headers(): { timestamp_in_ms?: unknown } {
    const stamped = this.allHeaders.fields['timestamp_in_ms']
    return stamped === undefined ? {} : { timestamp_in_ms: plain(stamped) }
  }

  get allHeaders(): Headers {
    this.#headers ??= readHeaders(bytesOf(this.raw, 'headers'))
    return this.#headers
  }

  /** The bytes of a short text, or undefined where the message does not have it. */
  shortText(name: ShortText): Buffer | undefined {
    return bytesOf(this.raw, name)
  }

  get priority(): number | undefined {
    return bytesOf(this.raw, 'priority')?.[0]
  }
}

/** The properties of a message from a connection that `readAnyProperties` has set up. */
export function propertiesOf({ properties }: Message): Properties {
  const own: unknown = properties
  if (own instanceof Properties) return own
  throw new TypeError('this connection reads properties with amqplib: it must not consume')
}

/** In the order of their flags, the highest bit first, which is the order of their values. */
const PROPERTIES = [
  'contentType',
  'contentEncoding',
  'headers',
  'deliveryMode',
  'priority',
  'correlationId',
  'replyTo',
  'expiration',
  'messageId',
  'timestamp',
  'type',
  'userId',
  'appId',
  'clusterId',
] as const

type PropertyName = (typeof PROPERTIES)[number]

export type ShortText = Exclude<PropertyName, 'headers' | 'deliveryMode' | 'priority' | 'timestamp'>

/** The bytes of a property's value, without its length; undefined if it is absent, or the list ends before it. */
function bytesOf(raw: Buffer, name: PropertyName): Buffer | undefined {
  const flags = raw.length < 2 ? 0 : raw.readUInt16BE(0)
  // More flags follow, to which AMQP 0-9-1 gives no meaning.
  if ((flags & 1) === 1) return undefined
  const bit = PROPERTIES.indexOf(name)
  if ((flags & (0x8000 >> bit)) === 0) return undefined
  let at = 2
  for (let index = 0; index <= bit; index++) {
    if ((flags & (0x8000 >> index)) === 0) continue
    const { start, end } = extentOf(raw, at, PROPERTIES[index]!)
    if (end > raw.length) return undefined
    if (index === bit) return raw.subarray(start, end)
    at = end
  }
  return undefined
}

function extentOf(raw: Buffer, at: number, name: PropertyName): { start: number; end: number } {
  switch (name) {
    case 'deliveryMode':
    case 'priority':
      return { start: at, end: at + 1 }
    case 'timestamp':
      return { start: at, end: at + 8 }
    case 'headers': {
      const start = at + 4
      return { start, end: start > raw.length ? start : start + raw.readUInt32BE(at) }
    }
    default:
      return { start: at + 1, end: at >= raw.length ? at + 1 : at + 1 + raw[at]! }
  }
}

/** UTF-8 bytes as text; undefined for other bytes. */
export function textOf(bytes: Buffer | undefined): string | undefined {
  return bytes !== undefined && isUtf8(bytes) ? bytes.toString('utf8') : undefined
}

/** A value without its type: a number if that is exact, else a bigint. */
export function plain(value: FieldValue): unknown {
  if (!isTyped(value)) return value
  return typeof value.value === 'bigint' ? fitting(value.value) : value.value
}

function isTyped(value: FieldValue): value is TypedValue {
  return typeof value === 'object' && value !== null && '!' in value
}

function fitting(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** A value that cannot be read, or that amqplib could not write again. */
class Unreadable extends Error {
  override name = 'Unreadable'
}

const NONE: Headers = { fields: Object.create(null) as Fields, bytes: new Map(), unread: [] }

function readHeaders(table: Buffer | undefined): Headers {
  if (table === undefined || table.length === 0) return NONE
  const headers: Headers = { fields: Object.create(null) as Fields, bytes: new Map(), unread: [] }
  const reader = new FieldReader(table)
  while (!reader.isAtEnd) {
    const start = reader.at
    let name = '?'
    try {
      name = reader.name()
      const value = reader.value(0)
      headers.fields[name] = value
      headers.bytes.set(name, reader.at - start)
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error
      headers.unread.push(name)
      if (reader.isLost) {
        headers.unread.push('…')
        return headers
      }
    }
  }
  return headers
}

/** Reads the fields of a table one after the other. */
class FieldReader {
  readonly #table: Buffer
  at = 0
  /** It is unknown where the next field begins. */
  isLost = false

  constructor(table: Buffer) {
    this.#table = table
  }

  get isAtEnd(): boolean {
    return this.at >= this.#table.length
  }

  name(): string {
    const bytes = this.#take(this.#take(1)[0]!)
    const text = textOf(bytes)
    if (text !== undefined) return text
    // The reader must get past the value, too. Such a field is left out of a dead letter: no client can write its name.
    this.#skipValue()
    throw new Unreadable('a name that is not UTF-8')
  }

  value(depth: number): FieldValue {
    const type = String.fromCharCode(this.#take(1)[0]!)
    switch (type) {
      case 't':
        return this.#take(1)[0] !== 0
      case 'V':
        return null
      case 'S': {
        const bytes = this.#takeLong()
        return isUtf8(bytes) ? bytes.toString('utf8') : bytes
      }
      case 'x':
        return this.#takeLong()
      case 'A':
        return this.#nested(this.#takeLong(), depth, reader => {
          const values: FieldValue[] = []
          while (!reader.isAtEnd) values.push(reader.value(depth + 1))
          return values
        })
      case 'F':
        return this.#nested(this.#takeLong(), depth, reader => {
          const fields = Object.create(null) as Fields
          while (!reader.isAtEnd) fields[reader.name()] = reader.value(depth + 1)
          // amqplib takes a table with such a field for a typed value.
          if ('!' in fields) throw new Unreadable('a field named !')
          return fields
        })
      case 'D': {
        const bytes = this.#take(5)
        return { '!': 'decimal', value: { places: bytes[0]!, digits: bytes.readUInt32BE(1) } }
      }
      default:
        return this.#number(type)
    }
  }

  #number(type: string): TypedValue {
    switch (type) {
      case 'b':
        return { '!': 'int8', value: this.#take(1).readInt8() }
      case 'B':
        return { '!': 'uint8', value: this.#take(1).readUInt8() }
      case 's':
        return { '!': 'int16', value: this.#take(2).readInt16BE() }
      case 'u':
        return { '!': 'uint16', value: this.#take(2).readUInt16BE() }
      case 'I':
        return { '!': 'int32', value: this.#take(4).readInt32BE() }
      case 'i':
        return { '!': 'uint32', value: this.#take(4).readUInt32BE() }
      // py-amqp writes a 64-bit integer as L, RabbitMQ as l.
      case 'l':
      case 'L':
        return { '!': 'int64', value: this.#take(8).readBigInt64BE() }
      case 'T':
        return { '!': 'timestamp', value: this.#take(8).readBigUInt64BE() }
      case 'f':
        return { '!': 'float', value: this.#take(4).readFloatBE() }
      case 'd':
        return { '!': 'double', value: this.#take(8).readDoubleBE() }
      default:
        this.isLost = true
        throw new Unreadable(`the type ${type}`)
    }
  }

  #skipValue(): void {
    try {
      this.value(MAX_DEPTH)
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error
    }
  }

  // `bytes` is already taken from this reader, so an error inside them does not lose its place.
  #nested<T>(bytes: Buffer, depth: number, read: (reader: FieldReader) => T): T {
    if (depth >= MAX_DEPTH) throw new Unreadable('nested too deep')
    return read(new FieldReader(bytes))
  }

  #takeLong(): Buffer {
    return this.#take(this.#take(4).readUInt32BE())
  }

  #take(length: number): Buffer {
    const end = this.at + length
    if (end > this.#table.length) {
      this.isLost = true
      throw new Unreadable('it ends early')
    }
    const bytes = this.#table.subarray(this.at, end)
    this.at = end
    return bytes
  }
}

/** The part of amqplib 2.3.1's connection used here. `recvFrame` returns the next frame; false if there is none. */
interface FrameSource {
  stream: Readable
  rest: Buffer
  maxFrameSize: number
  recvSinceLastCheck: boolean
  recvFrame(): unknown
}

const HEADER_FRAME = 2
const FRAME_END = 206
const FRAME_HEADER_BYTES = 7
const BASIC_CLASS = 60

/** From here on `properties` of every message on the connection is a `Properties`. */
export function readAnyProperties(model: ChannelModel): void {
  const source = model.connection as unknown as FrameSource
  const receive = source.recvFrame.bind(source)
  source.recvFrame = () => {
    if (!holdsFrame(source)) return false
    return contentHeader(source) ?? receive()
  }
}

/** Reads until a whole frame is buffered; false if none is there yet. amqplib itself refuses a frame that is too large. */
function holdsFrame(source: FrameSource): boolean {
  for (;;) {
    const { rest, maxFrameSize } = source
    if (rest.length >= FRAME_HEADER_BYTES) {
      const size = rest.readUInt32BE(3)
      if (rest.length > FRAME_HEADER_BYTES + size || (maxFrameSize > 0 && size > maxFrameSize)) return true
    }
    const incoming: Buffer | null = source.stream.read()
    if (incoming === null) return false
    source.recvSinceLastCheck = true
    source.rest = rest.length === 0 ? incoming : Buffer.concat([rest, incoming])
  }
}

/** The next frame in amqplib's form, if it is a content header; undefined for all others, which amqplib reads itself. */
function contentHeader(source: FrameSource): unknown {
  const { rest } = source
  if (rest[0] !== HEADER_FRAME) return undefined
  const end = FRAME_HEADER_BYTES + rest.readUInt32BE(3)
  const payload = rest.subarray(FRAME_HEADER_BYTES, end)
  if (rest[end] !== FRAME_END || payload.length < 14 || payload.readUInt16BE(0) !== BASIC_CLASS)
    return undefined
  source.rest = rest.subarray(end + 1)
  return {
    id: BASIC_CLASS,
    channel: rest.readUInt16BE(1),
    size: Number(payload.readBigUInt64BE(4)),
    fields: new Properties(payload.subarray(12)),
  }
}
