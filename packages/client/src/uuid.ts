import { randomFillSync } from 'node:crypto'

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
const RANDOM_BYTES_PER_ID = 10

// Random bytes are read for many ids at once: a system call for each would take longer than everything else.
const pool = Buffer.alloc(RANDOM_BYTES_PER_ID * 256)
let used = pool.length

let lastMs = -1
let counter = 0
let timeHex = ''

/**
 * A UUID of version 7 (RFC 9562): milliseconds, a counter of 12 bits, 62 random bits. Within this process each is
 * greater than the one before, also when the clock is set back.
 */
export function uuidv7(nowMs: number = Date.now()): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const at = used
  used += RANDOM_BYTES_PER_ID

  if (nowMs > lastMs) setTime(nowMs, at)
  // The counter is used up for this millisecond, so the next one begins early.
  else if (counter === 0xfff) setTime(lastMs + 1, at)
  else counter++

  const version = 0x70 | (counter >> 8)
  const variant = 0x80 | (pool[at + 2]! & 0x3f)
  const clock = `${timeHex}-${HEX[version]}${HEX[counter & 0xff]}-${HEX[variant]}${byte(at + 3)}`
  return `${clock}-${byte(at + 4)}${byte(at + 5)}${byte(at + 6)}${byte(at + 7)}${byte(at + 8)}${byte(at + 9)}`
}

function setTime(ms: number, at: number): void {
  lastMs = ms
  // Begins in the lower half, so that at least 2,048 more fit into the millisecond.
  counter = pool.readUInt16BE(at) & 0x7ff
  const hex = ms.toString(16).padStart(12, '0')
  timeHex = `${hex.slice(0, 8)}-${hex.slice(8)}`
}

function byte(at: number): string {
  return HEX[pool[at]!]!
}
