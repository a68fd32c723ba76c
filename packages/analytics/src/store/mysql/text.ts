/** Writes values as the text of a statement: a batch goes in a few long statements, which are built here without placeholders. */

import { escape as literal } from 'mysql2/promise'
import type { Day } from '../days.ts'

/** A text as a literal. */
export function quoted(text: string | null): string {
  return text === null ? 'NULL' : literal(text)
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

// The views of a batch share most of their hours. Bounded.
const hours = new Map<number, string>()
const HOUR_SECONDS = 3_600
const SIXTY = Array.from({ length: 60 }, (_, number) => `:${String(number).padStart(2, '0')}`)

/** Unix seconds as the server stores them, in a session whose time zone is UTC. */
export function toTimestamp(unixSeconds: number): string {
  const hour = Math.floor(unixSeconds / HOUR_SECONDS)
  const inHour = Math.floor(unixSeconds) - hour * HOUR_SECONDS
  let text = hours.get(hour)
  if (text === undefined) {
    text = new Date(hour * HOUR_SECONDS * 1_000).toISOString().slice(0, 13).replace('T', ' ')
    if (hours.size >= 10_000) hours.clear()
    hours.set(hour, text)
  }
  return text + SIXTY[Math.floor(inHour / 60)] + SIXTY[inHour % 60]
}

export function fromTimestamp(text: unknown): number {
  return Date.parse(`${String(text).replace(' ', 'T')}Z`) / 1_000
}

/** A post's day, as two values. */
export function postDay({ postUuid, day }: { postUuid: string; day: Day }): string {
  return `${quoted(postUuid)},'${day}'`
}

/** Less than the smallest packet with which a session opens (1 MiB, see session.ts), at three bytes per character. */
const STATEMENT_CHARACTERS = 250_000

export interface Part<T> {
  items: readonly T[]
  texts: readonly string[]
}

/** The items with their texts, `atOnce` at a time, fewer if the texts are long. Parts are made one by one, when needed. */
export function* partsOf<T>(
  items: readonly T[],
  atOnce: number,
  textOf: (item: T) => string,
): Generator<Part<T>> {
  let from = 0
  while (from < items.length) {
    const texts: string[] = []
    let characters = 0
    while (from + texts.length < items.length && texts.length < atOnce && characters < STATEMENT_CHARACTERS) {
      const text = textOf(items[from + texts.length]!)
      texts.push(text)
      characters += text.length
    }
    yield { items: items.slice(from, from + texts.length), texts }
    from += texts.length
  }
}

/** Joins a long statement. Its beginning and end go into the list: adding them to the joined text would copy all of it again. */
export function statement(insert: string, texts: readonly string[], update = ''): string {
  const parts = [...texts]
  parts[0] = insert + parts[0]
  parts.push(parts.pop() + update)
  return parts.join()
}
