/** Finds posts by a part of their id: also those that no posts service knows. */

import { MAX_FOUND } from './posts.ts'

/** Those with this text in them, however it is written, in the order given; as many as a posts service tells. */
export function idsWith(text: string, ids: readonly string[]): string[] {
  const part = text.toLowerCase()
  return ids.filter(id => id.toLowerCase().includes(part)).slice(0, MAX_FOUND)
}
