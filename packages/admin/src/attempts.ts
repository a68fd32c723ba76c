/** Wrong passwords of the last minutes, and who has to wait because of them: [0017](../../../decisions/0017-sign-in-limits.md). */

import { isIPv4 } from 'node:net'

/** Wrong passwords within `WINDOW_MS`. */
export const LIMITS = {
  /** Per IPv4 address, or per /64 of IPv6, which is one household's. */
  address: 10,
  /** Per network: a /24 of IPv4, a /48 of IPv6. */
  network: 30,
  /** For all unknown browsers together. */
  strangers: 100,
  /** Per browser in which somebody has signed in before, from any address. */
  browser: 10,
} as const
const WINDOW_MS = 600_000
/** Only a client with very many of the panel's cookies could get this far. */
const MAX_OF_BROWSERS = 1_000

/** Who tries to sign in. */
export interface Asker {
  /** As `readerAddress` gives it. */
  address: string | null
  /** The browser's name from `KnownBrowsers`; null if the panel does not know it. */
  browser: string | null
}

interface Attempt {
  at: number
  address: string
  network: string
}

export class Attempts {
  readonly #now: () => number
  // The limits bound the length of both, so nobody can fill them, or push somebody else's attempts out.
  #ofStrangers: Attempt[] = []
  #ofBrowsers: { at: number; browser: string }[] = []

  /** @param now milliseconds of a monotonic clock */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Seconds until the asker may try again; 0: now. An attempt that has to wait does not count. */
  waitSeconds(asker: Asker): number {
    this.#forget()
    if (this.#isAmongBrowsers(asker)) return 0
    const { address, network } = placesOf(asker)
    return Math.max(
      this.#wait(this.#ofStrangers, LIMITS.strangers),
      this.#wait(
        this.#ofStrangers.filter(attempt => attempt.network === network),
        LIMITS.network,
      ),
      this.#wait(
        this.#ofStrangers.filter(attempt => attempt.address === address),
        LIMITS.address,
      ),
    )
  }

  /** Counts a wrong password. Right ones do not count. */
  failed(asker: Asker): void {
    const at = this.#now()
    if (asker.browser !== null && this.#isAmongBrowsers(asker)) {
      this.#ofBrowsers.push({ at, browser: asker.browser })
    } else this.#ofStrangers.push({ at, ...placesOf(asker) })
  }

  /** A known browser with too many attempts is treated as unknown: the limits of its address apply. */
  #isAmongBrowsers({ browser }: Asker): boolean {
    const own = this.#ofBrowsers.filter(attempt => attempt.browser === browser)
    return browser !== null && own.length < LIMITS.browser && this.#ofBrowsers.length < MAX_OF_BROWSERS
  }

  #wait(attempts: readonly { at: number }[], limit: number): number {
    const last = attempts.at(-limit)
    return last === undefined ? 0 : Math.ceil((last.at + WINDOW_MS - this.#now()) / 1_000)
  }

  #forget(): void {
    const isRecent = ({ at }: { at: number }) => at + WINDOW_MS > this.#now()
    this.#ofStrangers = this.#ofStrangers.filter(isRecent)
    this.#ofBrowsers = this.#ofBrowsers.filter(isRecent)
  }
}

function placesOf({ address }: Asker): { address: string; network: string } {
  if (address === null) return { address: 'none', network: 'none' }
  if (isIPv4(address)) return { address, network: address.split('.').slice(0, 3).join('.') }
  const groups = groupsOf(address)
  return { address: groups.slice(0, 4).join(':'), network: groups.slice(0, 3).join(':') }
}

/** The eight groups of an IPv6 address in its canonical spelling. */
function groupsOf(address: string): string[] {
  const [before = [], after] = address.split('::').map(part => (part === '' ? [] : part.split(':')))
  if (after === undefined) return before
  return [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after]
}
