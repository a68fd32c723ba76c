/** What others wrote, made fit for a terminal. */

// Control characters (escape sequences begin with one, of C1 too), line separators, and what turns the direction of text.
const UNPRINTABLE = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

/** One line of it: each character that a terminal would act on as `\uXXXX`, which stays the same text in JSON. */
export function printable(line: string): string {
  return line.replace(UNPRINTABLE, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
