/** The labels of batches: UUIDs of version 7, those of one call alike but for their last two bytes. */

import { randomBytes } from 'node:crypto'
import type { Day } from '../calendar.ts'

/** The labels of one call: its number is the shard's or the day's turn, from 0. */
export function newLabels(nowMs = Date.now()): (part: number) => string {
  const time = nowMs.toString(16).padStart(12, '0')
  const random = randomBytes(8)
  random[2] = (random[2]! & 0x3f) | 0x80
  const hex = random.toString('hex')
  const start = `${time.slice(0, 8)}-${time.slice(8)}-7${hex.slice(1, 4)}-${hex.slice(4, 8)}-${hex.slice(8)}`
  return part => start + part.toString(16).padStart(4, '0')
}

export function labelTimeMs(label: string): number {
  return Number.parseInt(label.slice(0, 8) + label.slice(9, 13), 16)
}

/** As SQL: the day it was made on, in UTC. */
export function labelDay(label: string): string {
  return `toDate(UUIDv7ToDateTime(${label}, 'UTC'))`
}

/** What stands for all batches labelled on a day that keep their figures on a shard. No batch has it: it has nothing random. */
export function rollupLabel(day: Day, shard: number): string {
  const time = Date.parse(day).toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${shard.toString(16).padStart(8, '0')}0000`
}

/** Which shard, by its index, keeps the figures of a batch: the same one for all batches of a call. */
export function homeOf(label: string, shards: number): number {
  return Number.parseInt(label.slice(24, 32), 16) % shards
}

/** The same as SQL. */
export function homeOfLabel(label: string, shards: number): string {
  return shards === 1
    ? '0'
    : `reinterpretAsUInt32(reverse(unhex(substring(toString(${label}), 25, 8)))) % ${shards}`
}
