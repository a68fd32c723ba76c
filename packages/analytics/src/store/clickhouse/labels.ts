/** The labels of batches: UUIDs of version 7, those of one call alike but for their last two bytes. */

import { randomBytes } from 'node:crypto'

/** The labels of one call: its number is the shard's or the day's turn, from 0. */
export function newLabels(nowMs = Date.now()): (part: number) => string {
  const time = nowMs.toString(16).padStart(12, '0')
  const random = randomBytes(8)
  random[2] = (random[2]! & 0x3f) | 0x80
  const hex = random.toString('hex')
  const start = `${time.slice(0, 8)}-${time.slice(8)}-7${hex.slice(1, 4)}-${hex.slice(4, 8)}-${hex.slice(8)}`
  return part => start + part.toString(16).padStart(4, '0')
}

/** The label of the moment so long ago, lower than any made since. */
export function labelTimeMs(label: string): number {
  return Number.parseInt(label.slice(0, 8) + label.slice(9, 13), 16)
}

/** Which shard, by its index, keeps the figures of a batch: the same one for all batches of a call. */
export function homeOf(label: string, shards: number): number {
  return Number.parseInt(label.slice(24, 32), 16) % shards
}
