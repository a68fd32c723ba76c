/** Finds posts by a part of their id: also those that no posts service knows. */

import { MAX_FOUND } from './posts.ts'

/** The ids that hold this text, in any case, in the order given; at most as many as a posts service gives. */
export function idsWith(text: string, ids: readonly string[]): string[] {
  const part = text.toLowerCase()
  return ids.filter(id => id.toLowerCase().includes(part)).slice(0, MAX_FOUND)
}
