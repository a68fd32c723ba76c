/**
 * The format of an event in the spool: a line that shows whether it is whole.
 *
 *     9f0c21aa 153 0197a1c4-5f0e-7a31-8c55-0d6a1f2b3c4d {"post_uuid":"a-post",…}
 *
 * CRC-32 of the body (eight hexadecimal digits), the length of the body in bytes, and the body: the event's id
 * and its JSON. JSON holds no line feed, so a reader finds the next record after any damage.
 */

import { crc32 } from 'node:zlib'
import { MAX_EVENT_BYTES } from './protocol.ts'

export { MAX_EVENT_BYTES } from './protocol.ts'

/** A range of bytes; `end` is exclusive. */
export interface Span {
  start: number
  end: number
}

/** Checksum, length, id, three spaces and the line feed. */
const MOST_OVERHEAD_BYTES = 8 + 1 + 5 + 1 + 36 + 1 + 1
/** A damaged line feed may join two records. */
export const MAX_LINE_BYTES = 2 * (MAX_EVENT_BYTES + MOST_OVERHEAD_BYTES)

const LINE_FEED = 0x0a
const SPACE = 0x20
const ZERO = 0x30
const CRC_DIGITS = 8
const MOST_LENGTH_DIGITS = 5
const ID_CHARACTERS = 36
const MOST_HEADER_BYTES = CRC_DIGITS + 1 + MOST_LENGTH_DIGITS + 1
/** A lookahead, so that a match may begin within another. */
const HEADER = /(?=[0-9a-f]{8} \d{1,5} )/g
const BEGUN_HEADER = /^[0-9a-f]{1,8}$|^[0-9a-f]{8} \d{0,5}$/

/** The line, with its line feed. */
export function encodeRecord({ id, json }: { id: string; json: string }): string {
  const body = `${id} ${json}`
  const checksum = crc32(body).toString(16).padStart(CRC_DIGITS, '0')
  return `${checksum} ${Buffer.byteLength(body)} ${body}\n`
}

/** What was found at a position. */
export interface RecordAt {
  /** An event: its id, a space and its JSON. Undefined for a damaged record. */
  body: Span | undefined
  /** Where the next record may begin. */
  end: number
}

export function idIn(bytes: Buffer, body: Span): string {
  return bytes.toString('latin1', body.start, body.start + ID_CHARACTERS)
}

export function jsonOf(body: Span): Span {
  return { start: body.start + ID_CHARACTERS + 1, end: body.end }
}

/**
 * The record that begins at `start`; undefined if the bytes end before the record does.
 *
 * A record ends by its length, or by the line feed if the length is wrong. So no single wrong byte can lose two records.
 */
export function recordAt(bytes: Buffer, start: number): RecordAt | undefined {
  const body = bodyOf(bytes, start)
  if (body !== undefined && isWhole(bytes, start, body)) {
    return body.end < bytes.length ? { body, end: body.end + 1 } : undefined
  }
  const lineEnd = bytes.indexOf(LINE_FEED, start)
  if (lineEnd === -1) {
    return bytes.length - start < MAX_LINE_BYTES ? undefined : { body: undefined, end: bytes.length }
  }
  const bodyOfLine = body && { start: body.start, end: lineEnd }
  if (bodyOfLine !== undefined && isWhole(bytes, start, bodyOfLine)) {
    return { body: bodyOfLine, end: lineEnd + 1 }
  }
  return { body: undefined, end: recordEndingAt(bytes, start, lineEnd) ?? lineEnd + 1 }
}

/** Whether the last bytes of a file may be a record whose end was never written. */
export function mayBeBegun(bytes: Buffer): boolean {
  const header = /^([0-9a-f]{8}) (\d{1,5}) /.exec(bytes.toString('latin1', 0, MOST_HEADER_BYTES))
  if (header === null) return BEGUN_HEADER.test(bytes.toString('latin1', 0, MOST_HEADER_BYTES))
  // JSON holds no zero byte: a page of the disk was lost.
  return bytes.length <= header[0].length + Number(header[2]) && !bytes.includes(0)
}

/** Where a whole record at the end of the line begins: the record before may have lost its end, with its line feed. */
function recordEndingAt(bytes: Buffer, start: number, lineEnd: number): number | undefined {
  for (const { index } of bytes.toString('latin1', start, lineEnd).matchAll(HEADER)) {
    const at = start + index
    const body = bodyOf(bytes, at)
    if (body?.end === lineEnd && isWhole(bytes, at, body)) return at
  }
  return undefined
}

/** The range of id and JSON by the record's length; `end` is NaN if that is no number. Undefined if no record begins here. */
function bodyOf(bytes: Buffer, start: number): Span | undefined {
  const lengthAt = start + CRC_DIGITS + 1
  let length = 0
  let at = lengthAt
  for (; bytes[at] !== SPACE; at++) {
    if (at >= bytes.length || at - lengthAt === MOST_LENGTH_DIGITS) return undefined
    const digit = bytes[at]! - ZERO
    length = digit >= 0 && digit <= 9 ? length * 10 + digit : Number.NaN
  }
  return { start: at + 1, end: at + 1 + length }
}

function isWhole(bytes: Buffer, start: number, { start: bodyStart, end }: Span): boolean {
  if (!(end <= bytes.length) || end - bodyStart <= ID_CHARACTERS) return false
  const checksum = bytes.toString('latin1', start, start + CRC_DIGITS)
  return Number.parseInt(checksum, 16) === crc32(bytes.subarray(bodyStart, end))
}
