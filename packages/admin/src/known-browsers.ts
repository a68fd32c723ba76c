/** Browsers in which somebody has signed in before, recognized by a cookie that only this panel can have made. */

import { createHmac, hash, randomBytes, scryptSync, timingSafeEqual } from 'node:crypto'

const TOKEN = /^([\w-]{22})\.([\w-]{43})$/

/**
 * The cookie signs nobody in. It spares this browser the wait that somebody else's guesses cause
 * ([0017](../../../decisions/0017-sign-in-limits.md)). It outlives a restart, but not a change of the password.
 */
export class KnownBrowsers {
  readonly #key: Buffer

  constructor(password: string) {
    // Slow on purpose: a stolen token must not reveal the password by trial and error.
    this.#key = scryptSync(password, 'postviews panel: known browsers', 32)
  }

  /** A token for one more browser. */
  token(): string {
    const name = randomBytes(16).toString('base64url')
    return `${name}.${this.#seal(name)}`
  }

  /** The name of the browser with this token; null if the token is not from this panel. */
  nameOf(token: string | undefined): string | null {
    const [, name, seal] = TOKEN.exec(token ?? '') ?? []
    if (name === undefined || seal === undefined) return null
    // A new text: a substring would keep the whole header in memory.
    return timingSafeEqual(Buffer.from(this.#seal(name)), Buffer.from(seal))
      ? hash('sha256', name, 'base64url')
      : null
  }

  #seal(name: string): string {
    return createHmac('sha256', this.#key).update(name).digest('base64url')
  }
}
