/**
 * A broker that refuses messages it has taken: on channels that the test chooses, the proxy turns confirms into refusals. A real
 * cluster does so for a while after one of its nodes has died.
 */

import type { Chunk, TcpProxy } from './tcp-proxy.ts'

export interface Frame {
  name: 'publish' | 'confirm' | 'refuse'
  connection: number
  channel: number
  atMs: number
}

// AMQP 0-9-1, section 4.2: type, channel, size, payload, end. A confirm and a refusal have the same length.
const METHOD_FRAME = 1
const HEADER_BYTES = 7
const PROTOCOL_HEADER_BYTES = 8
const BASIC = 60
const NAMES = new Map<number, Frame['name']>([
  [40, 'publish'],
  [80, 'confirm'],
  [120, 'refuse'],
])
const NACK = 120

/** Uses the proxy's `intercept`. Returns the frames that passed, in order. */
export function refuseChannels(proxy: TcpProxy, isRefused: (confirm: Frame) => boolean): Frame[] {
  const passed: Frame[] = []
  /** Remaining bytes of a frame that ends in a later chunk, by connection and direction. */
  const bytesToSkip = new Map<string, number>()
  proxy.intercept(chunk => {
    const way = `${chunk.connection} ${chunk.direction}`
    bytesToSkip.set(way, readFrames(chunk, bytesToSkip.get(way) ?? 0, passed, isRefused))
    return 'pass'
  })
  return passed
}

function readFrames(
  { bytes, bytesBefore, connection, direction }: Chunk,
  bytesToSkip: number,
  passed: Frame[],
  isRefused: (confirm: Frame) => boolean,
): number {
  let at = bytesToSkip
  if (direction === 'to-server' && bytesBefore === 0) at += PROTOCOL_HEADER_BYTES
  while (at < bytes.length) {
    const isMethod = bytes[at] === METHOD_FRAME
    // The tests send few and short messages, so no header is split between chunks. (A heartbeat is only header and end.)
    if (at + HEADER_BYTES + (isMethod ? 4 : 0) > bytes.length)
      throw new Error('a frame is cut within its header')
    const method = at + HEADER_BYTES
    const name =
      isMethod && bytes.readUInt16BE(method) === BASIC ? NAMES.get(bytes.readUInt16BE(method + 2)) : undefined
    if (name !== undefined) {
      const frame: Frame = { name, connection, channel: bytes.readUInt16BE(at + 1), atMs: performance.now() }
      if (name === 'confirm' && isRefused(frame)) {
        bytes.writeUInt16BE(NACK, method + 2)
        frame.name = 'refuse'
      }
      passed.push(frame)
    }
    at += HEADER_BYTES + bytes.readUInt32BE(at + 3) + 1
  }
  return at - bytes.length
}
