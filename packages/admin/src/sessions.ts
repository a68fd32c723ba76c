/** Who is signed in. Kept in memory: signing out ends a session for good, and a restart ends them all. */

import { hash, randomBytes, timingSafeEqual } from 'node:crypto'

const HOUR_MS = 3_600_000
/** Beyond these, whoever signed in first is signed out. */
const MAX_SESSIONS = 1_000

export interface SessionsOptions {
  hours: number
  /** Unix milliseconds. */
  now?: () => number
}

export class Sessions {
  readonly #lifeMs: number
  readonly #now: () => number
  /** When each ends, by the digest of its token, oldest first: who reads this memory cannot sign in with it. */
  readonly #ends = new Map<string, number>()

  constructor({ hours, now = Date.now }: SessionsOptions) {
    this.#lifeMs = hours * HOUR_MS
    this.#now = now
  }

  /** Gives the token that stands for the session. */
  begin(): string {
    const token = randomBytes(32).toString('base64url')
    this.#ends.set(digest(token), this.#now() + this.#lifeMs)
    for (const [session, end] of this.#ends) {
      if (end > this.#now() && this.#ends.size <= MAX_SESSIONS) break
      this.#ends.delete(session)
    }
    return token
  }

  has(token: string | undefined): boolean {
    if (token === undefined) return false
    const end = this.#ends.get(digest(token))
    return end !== undefined && end > this.#now()
  }

  end(token: string | undefined): void {
    if (token !== undefined) this.#ends.delete(digest(token))
  }
}

function digest(token: string): string {
  return hash('sha256', token, 'base64url')
}

/** Tells whether a text is the password, in a time that depends on neither: what is compared are digests. */
export function passwordCheck(password: string): (given: string) => boolean {
  const known = hash('sha256', password, 'buffer')
  return given => timingSafeEqual(known, hash('sha256', given, 'buffer'))
}
