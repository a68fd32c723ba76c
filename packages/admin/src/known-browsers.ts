/** Browsers in which somebody has signed in before, told by a cookie that only this panel can have made. */

import { createHmac, hash, randomBytes, scryptSync, timingSafeEqual } from 'node:crypto'

const TOKEN = /^([\w-]{22})\.([\w-]{43})$/

/**
 * It lets nobody in: it keeps whoever guesses passwords elsewhere from having this browser wait
 * ([0017](../../../decisions/0017-sign-in-limits.md)). It outlives the process, and no change of the password.
 */
export class KnownBrowsers {
  readonly #key: Buffer

  constructor(password: string) {
    // Slow on purpose: who steals a token shall not learn the password from it by trying.
    this.#key = scryptSync(password, 'postviews panel: known browsers', 32)
  }

  /** A token for one more browser. */
  token(): string {
    const name = randomBytes(16).toString('base64url')
    return `${name}.${this.#seal(name)}`
  }

  /** What tells the browser with this token from others; null for one that is not of this panel. */
  nameOf(token: string | undefined): string | null {
    const [, name, seal] = TOKEN.exec(token ?? '') ?? []
    if (name === undefined || seal === undefined) return null
    // Made anew, so that it does not hold on to the whole of the header it was cut from.
    return timingSafeEqual(Buffer.from(this.#seal(name)), Buffer.from(seal))
      ? hash('sha256', name, 'base64url')
      : null
  }

  #seal(name: string): string {
    return createHmac('sha256', this.#key).update(name).digest('base64url')
  }
}
