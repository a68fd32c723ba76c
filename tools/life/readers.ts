/** The readers: regulars who come back from the same address with the same browser, passers-by, and bots. */

import type { Random } from './random.ts'
import { activity, ZONES, type Zone } from './rhythm.ts'

export interface Reader {
  kind: 'regular' | 'passer-by' | 'bot'
  ip: string
  agent: string
  /** Null: not signed in. */
  userId: number | null
}

const REGULARS = 1_400
const REGULAR_SHARE = 0.56
const SIGNED_IN_SHARE = 0.54
const BOTS = 40
const BOT_SHARE = 0.075
const FIRST_USER_ID = 1_000

/** Weight and user agent. */
const BROWSERS: readonly (readonly [number, string])[] = [
  [
    24,
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
  ],
  [
    17,
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1',
  ],
  [
    15,
    'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36',
  ],
  [
    10,
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15',
  ],
  [
    9,
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
  ],
  [8, 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0'],
  [5, 'Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0'],
  [
    5,
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0',
  ],
  [
    4,
    'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36',
  ],
  [3, 'Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0'],
]

const BOT_AGENTS: readonly (readonly [number, string])[] = [
  [
    30,
    'Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; +http://www.google.com/bot.html) Chrome/141.0.7390.122 Safari/537.36',
  ],
  [
    16,
    'Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/116.0.1938.76 Safari/537.36',
  ],
  [12, 'Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)'],
  [
    12,
    'Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)',
  ],
  [9, 'Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)'],
  [
    8,
    'Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)',
  ],
  [7, 'Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)'],
  [6, 'DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)'],
]

/** The same seed gives the same readers. */
export class Crowd {
  readonly #random: Random
  readonly #regulars = new Map<Zone, Reader[]>(ZONES.map(zone => [zone, []]))
  readonly #bots: Reader[]

  constructor(random: Random) {
    this.#random = random
    for (let number = 0; number < REGULARS; number++) {
      const userId = random.chance(SIGNED_IN_SHARE) ? FIRST_USER_ID + number : null
      const zone = random.pick(ZONES, ({ share }) => share)
      this.#regulars.get(zone)!.push({ kind: 'regular', ip: this.#address(), agent: this.#browser(), userId })
    }
    this.#bots = Array.from({ length: BOTS }, () => {
      const [, agent] = random.pick(BOT_AGENTS, ([weight]) => weight)
      return { kind: 'bot', ip: this.#address(), agent, userId: null }
    })
  }

  /** A reader who is probably awake at that time. */
  someone(atMs: number): Reader {
    const random = this.#random
    if (random.chance(BOT_SHARE)) return random.pick(this.#bots)
    if (!random.chance(REGULAR_SHARE)) return this.passerBy()
    const zone = random.pick(ZONES, one => one.share * activity(one, atMs))
    const regulars = this.#regulars.get(zone)!
    // A few come every day, most of them once in a while.
    return regulars[Math.floor(regulars.length * random.fraction() ** 1.8)] ?? this.passerBy()
  }

  passerBy(): Reader {
    return { kind: 'passer-by', ip: this.#address(), agent: this.#browser(), userId: null }
  }

  #browser(): string {
    return this.#random.pick(BROWSERS, ([weight]) => weight)[1]
  }

  /** Addresses that belong to nobody: 198.18.0.0/15 is reserved for tests, 2001:db8::/32 for documentation. */
  #address(): string {
    const random = this.#random
    if (random.chance(0.62))
      return `198.${18 + random.below(2)}.${random.below(256)}.${1 + random.below(254)}`
    const group = () => (1 + random.below(65_535)).toString(16)
    return `2001:db8:${group()}:${group()}::${group()}`
  }
}
