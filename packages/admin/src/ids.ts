/** Finds posts by a part of their id: also those that no posts service knows. */

/** As many of the posts with most views as Analytics lists at once are looked through. */
export const SEARCHED_POSTS = 1_000
const MAX_FOUND = 50

/** Those with this text in them, however it is written, in the order given. */
export function idsWith(text: string, ids: readonly string[]): string[] {
  const part = text.toLowerCase()
  return ids.filter(id => id.toLowerCase().includes(part)).slice(0, MAX_FOUND)
}
