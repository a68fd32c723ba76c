/** Who is signed in. Kept in memory: signing out ends a session for good, and a restart ends them all. */

import { hash, randomBytes, timingSafeEqual } from 'node:crypto'

const HOUR_MS = 3_600_000
/** Beyond this number, the oldest session ends. */
const MAX_SESSIONS = 1_000

export interface SessionsOptions {
  hours: number
  /** Unix milliseconds. */
  now?: () => number
}

export class Sessions {
  readonly #lifeMs: number
  readonly #now: () => number
  /** When each session ends, by the digest of its token, oldest first: a digest read from memory signs nobody in. */
  readonly #ends = new Map<string, number>()

  constructor({ hours, now = Date.now }: SessionsOptions) {
    this.#lifeMs = hours * HOUR_MS
    this.#now = now
  }

  /** Begins a session, and returns its token. */
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

/** Compares a text with the password in constant time, because it compares digests. */
export function passwordCheck(password: string): (given: string) => boolean {
  const known = hash('sha256', password, 'buffer')
  return given => timingSafeEqual(known, hash('sha256', given, 'buffer'))
}
