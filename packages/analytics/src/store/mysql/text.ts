/** Values as the text of a statement: a batch goes in a few long statements, written here rather than filled in. */

import { escape } from 'mysql2/promise'
import type { Day } from '../calendar.ts'

/** A text as a literal. */
export function quoted(text: string | null): string {
  return text === null ? 'NULL' : escape(text)
}

/** Hex digits as the bytes they stand for. */
export function bytes(hex: string): string {
  return `x'${hex}'`
}

/** A UUID as its 16 bytes. */
export function uuidBytes(uuid: string | null): string {
  return uuid === null ? 'NULL' : bytes(uuid.replaceAll('-', ''))
}

export function time(unixSeconds: number | null): string {
  return unixSeconds === null ? 'NULL' : `'${toTimestamp(unixSeconds)}'`
}

/** Unix seconds as the server stores them, in a session whose time zone is UTC. */
export function toTimestamp(unixSeconds: number): string {
  return new Date(unixSeconds * 1_000).toISOString().slice(0, 19).replace('T', ' ')
}

export function fromTimestamp(text: unknown): number {
  return Date.parse(`${String(text).replace(' ', 'T')}Z`) / 1_000
}

/** As one key of several. */
export function postDay({ postUuid, day }: { postUuid: string; day: Day }): string {
  return `${quoted(postUuid)},'${day}'`
}
