/** A request must carry one of the keys. */

import { hash, timingSafeEqual } from 'node:crypto'
import { Problem } from './problem.ts'

export const KEY_HEADER = 'X-Internal-Api-Key'

/**
 * Tells whether a text is one of the keys, in a time that depends on neither: it compares digests, which all have
 * one length, and goes on to the last key even after a match.
 */
export function keyCheck(keys: readonly string[]): (given: string) => boolean {
  const known = keys.map(digest)
  return given => {
    const offered = digest(given)
    return known.reduce((same, key) => timingSafeEqual(key, offered) || same, false)
  }
}

function digest(key: string): Buffer {
  return hash('sha256', key, 'buffer')
}

/** A hook that lets a request through when it carries one of the keys. @throws {Problem} 401 otherwise */
export function requireKey(keys: readonly string[]) {
  const isKey = keyCheck(keys)
  return async ({ headers }: { headers: Record<string, string | string[] | undefined> }) => {
    const given = headers[KEY_HEADER.toLowerCase()]
    if (typeof given === 'string' && isKey(given)) return
    const detail =
      given === undefined ? `${KEY_HEADER} is missing` : `${KEY_HEADER} is not a key of this service`
    throw new Problem(401, detail, { headers: { 'WWW-Authenticate': `ApiKey header="${KEY_HEADER}"` } })
  }
}
