/** A publisher that speaks AMQP 0-9-1 itself, to send what no client library would: property lists with any bytes. */

import { connect, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

export interface WirePublisher {
  /** Publishes to a queue; fulfilled when the broker confirms. `properties`: a property list, flags first. */
  publish(queue: string, properties: Buffer, body: string | Buffer): Promise<void>
}

const METHOD = 1
const HEADER = 2
const BODY = 3
const FRAME_END = 206
const BASIC = 60
const MAX_BODY_BYTES = 100_000

/** Connects with the URL's user and virtual host; disconnects when the test ends. */
export async function wirePublisher(t: TestContext, amqpUrl: string): Promise<WirePublisher> {
  const url = new URL(amqpUrl)
  const socket = connect({ host: url.hostname, port: Number(url.port) })
  t.after(() => socket.destroy())
  const methods = methodsOf(socket)
  const expect = async (classId: number, methodId: number) => {
    for (;;) {
      const { value, done } = await methods.next()
      if (done) throw new Error('the broker closed the connection')
      const [ofClass, ofMethod] = [value.readUInt16BE(0), value.readUInt16BE(2)]
      if (ofClass === classId && ofMethod === methodId) return value
      if (ofMethod === 50 && ofClass === 10) throw new Error(`connection closed: ${value.toString('latin1')}`)
      if (ofMethod === 40 && ofClass === 20) throw new Error(`channel closed: ${value.toString('latin1')}`)
    }
  }

  socket.write(Buffer.from('AMQP\0\0\x09\x01', 'latin1'))
  await expect(10, 10)
  const login = `\0${decodeURIComponent(url.username)}\0${decodeURIComponent(url.password)}`
  send(socket, 0, METHOD, method(10, 11, long(0), shortText('PLAIN'), longText(login), shortText('en_US')))
  const tune = await expect(10, 30)
  send(socket, 0, METHOD, method(10, 31, tune.subarray(4, 10), short(0)))
  const vhost = decodeURIComponent(url.pathname.slice(1)) || '/'
  send(socket, 0, METHOD, method(10, 40, shortText(vhost), shortText(''), Buffer.from([0])))
  await expect(10, 41)
  send(socket, 1, METHOD, method(20, 10, shortText('')))
  await expect(20, 11)
  send(socket, 1, METHOD, method(85, 10, Buffer.from([0])))
  await expect(85, 11)

  return {
    async publish(queue, properties, body) {
      const bytes = Buffer.from(body)
      const size = Buffer.alloc(8)
      size.writeBigUInt64BE(BigInt(bytes.length))
      send(socket, 1, METHOD, method(BASIC, 40, short(0), shortText(''), shortText(queue), Buffer.from([0])))
      send(socket, 1, HEADER, Buffer.concat([short(BASIC), short(0), size, properties]))
      for (let at = 0; at < bytes.length; at += MAX_BODY_BYTES)
        send(socket, 1, BODY, bytes.subarray(at, at + MAX_BODY_BYTES))
      await expect(BASIC, 80)
    },
  }
}

/** A property list with only these headers: the entries of a field table, each made by `field`. */
export function headers(...entries: Buffer[]): Buffer {
  return propertyList({ headers: table(...entries) })
}

/** The bytes of each property, by name; texts without their length, `timestamp` as its number. */
export interface RawProperties {
  contentType?: string
  contentEncoding?: string
  headers?: Buffer
  priority?: number
  correlationId?: string
  replyTo?: string
  expiration?: string
  messageId?: string | Buffer
  timestamp?: bigint
  type?: string
  appId?: string | Buffer
}

export function propertyList(properties: RawProperties): Buffer {
  const texts = (value: string | Buffer | undefined) => (value === undefined ? undefined : shortText(value))
  const { timestamp, priority } = properties
  const values = [
    texts(properties.contentType),
    texts(properties.contentEncoding),
    properties.headers,
    Buffer.from([2]),
    priority === undefined ? undefined : Buffer.from([priority]),
    texts(properties.correlationId),
    texts(properties.replyTo),
    texts(properties.expiration),
    texts(properties.messageId),
    timestamp === undefined ? undefined : longlong(timestamp),
    texts(properties.type),
    undefined,
    texts(properties.appId),
  ]
  const flags = values.reduce((sum, value, index) => sum | (value === undefined ? 0 : 0x8000 >> index), 0)
  return Buffer.concat([short(flags), ...values.filter(value => value !== undefined)])
}

/** A field table with its length. */
export function table(...entries: Buffer[]): Buffer {
  return longText(Buffer.concat(entries))
}

/** A field: its name, the letter of its type, and its value in wire format. */
export function field(name: string | Buffer, type: string, value: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([shortText(name), Buffer.from(type, 'latin1'), value])
}

export function longText(text: string | Buffer): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([long(bytes.length), bytes])
}

export function longlong(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt.asUintN(64, value))
  return bytes
}

/** A table or array nested to that depth. */
export function nested(type: 'A' | 'F', depth: number): Buffer {
  let value: Buffer = Buffer.alloc(0)
  for (let level = 1; level < depth; level++)
    value =
      type === 'A' ? Buffer.concat([Buffer.from('A'), longText(value)]) : field('n', 'F', longText(value))
  return longText(value)
}

function send(socket: Socket, channel: number, type: number, payload: Buffer): void {
  socket.write(
    Buffer.concat([
      Buffer.from([type]),
      short(channel),
      long(payload.length),
      payload,
      Buffer.from([FRAME_END]),
    ]),
  )
}

function method(classId: number, methodId: number, ...fields: Buffer[]): Buffer {
  return Buffer.concat([short(classId), short(methodId), ...fields])
}

/** The payloads of the methods that the broker sends. */
async function* methodsOf(socket: Socket): AsyncGenerator<Buffer> {
  let unread = Buffer.alloc(0)
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    unread = Buffer.concat([unread, chunk])
    while (unread.length >= 7) {
      const end = 7 + unread.readUInt32BE(3) + 1
      if (unread.length < end) break
      if (unread[0] === METHOD) yield unread.subarray(7, end - 1)
      unread = unread.subarray(end)
    }
  }
}

function short(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

function long(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function shortText(text: string | Buffer): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.from([bytes.length]), bytes])
}
