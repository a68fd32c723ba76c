/** Makes text from outside safe for a terminal. */

// Control characters (C0 and C1: escape sequences begin with one), line separators, and marks that change the text's direction.
const UNPRINTABLE = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

/** Replaces these characters by `\uXXXX`. A terminal prints that as it is, and a JSON parser reads the original character. */
export function printable(line: string): string {
  return line.replace(UNPRINTABLE, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
