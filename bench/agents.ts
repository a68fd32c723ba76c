/** Readers' user agents: some twenty browsers in many versions, and bots. */

import type { Random } from '../tools/life/random.ts'

const CHROMIUM = 'AppleWebKit/537.36 (KHTML, like Gecko)'
const WEBKIT = 'AppleWebKit/605.1.15 (KHTML, like Gecko)'

/** Weight, newest version (older ones are drawn from the ten before it), and user agent with `$` for the version. */
const BROWSERS: readonly (readonly [weight: number, newest: number, agent: string])[] = [
  [20, 142, `Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${CHROMIUM} Chrome/$.0.0.0 Safari/537.36`],
  [8, 142, `Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) ${CHROMIUM} Chrome/$.0.0.0 Safari/537.36`],
  [3, 142, `Mozilla/5.0 (X11; Linux x86_64) ${CHROMIUM} Chrome/$.0.0.0 Safari/537.36`],
  [1, 142, `Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) ${CHROMIUM} Chrome/$.0.0.0 Safari/537.36`],
  [14, 142, `Mozilla/5.0 (Linux; Android 10; K) ${CHROMIUM} Chrome/$.0.0.0 Mobile Safari/537.36`],
  [1, 142, `Mozilla/5.0 (Linux; Android 10; K) ${CHROMIUM} Chrome/$.0.0.0 Safari/537.36`],
  [6, 142, `Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${CHROMIUM} Chrome/$.0.0.0 Safari/537.36 Edg/$.0.0.0`],
  [
    1,
    142,
    `Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${CHROMIUM} Chrome/$.0.0.0 Safari/537.36 OPR/124.0.0.0`,
  ],
  [1, 142, `Mozilla/5.0 (X11; Linux x86_64) ${CHROMIUM} Chrome/$.0.0.0 Safari/537.36 Vivaldi/7.6.3797.58`],
  [
    4,
    28,
    `Mozilla/5.0 (Linux; Android 10; K) ${CHROMIUM} SamsungBrowser/$.0 Chrome/130.0.0.0 Mobile Safari/537.36`,
  ],
  [5, 145, 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:$.0) Gecko/20100101 Firefox/$.0'],
  [2, 145, 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:$.0) Gecko/20100101 Firefox/$.0'],
  [3, 145, 'Mozilla/5.0 (X11; Linux x86_64; rv:$.0) Gecko/20100101 Firefox/$.0'],
  [2, 145, 'Mozilla/5.0 (Android 15; Mobile; rv:$.0) Gecko/$.0 Firefox/$.0'],
  [7, 26, `Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) ${WEBKIT} Version/$.0 Safari/605.1.15`],
  [
    14,
    26,
    `Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) ${WEBKIT} Version/$.0 Mobile/15E148 Safari/604.1`,
  ],
  [2, 26, `Mozilla/5.0 (iPad; CPU OS 18_7 like Mac OS X) ${WEBKIT} Version/$.0 Mobile/15E148 Safari/604.1`],
  [
    2,
    142,
    `Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) ${WEBKIT} CriOS/$.0.7444.77 Mobile/15E148 Safari/604.1`,
  ],
  [
    2,
    538,
    `Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) ${WEBKIT} Mobile/22H20 [FBAN/FBIOS;FBAV/$.0.0.51.69;FBDV/iPhone15,2;FBMD/iPhone;FBSN/iOS;FBSV/18.7;FBSS/3;FBID/phone;FBLC/pl_PL;FBOP/5]`,
  ],
  [
    1,
    406,
    `Mozilla/5.0 (Linux; Android 15; SM-S918B Build/AP3A.240905.015; wv) ${CHROMIUM} Version/4.0 Chrome/141.0.7390.122 Mobile Safari/537.36 Instagram $.0.0.31.108 Android`,
  ],
]

const BOTS: readonly (readonly [weight: number, agent: string])[] = [
  [
    30,
    `Mozilla/5.0 ${CHROMIUM.slice(0, -1)}; compatible; Googlebot/2.1; +http://www.google.com/bot.html) Chrome/141.0.7390.122 Safari/537.36`,
  ],
  [
    16,
    `Mozilla/5.0 ${CHROMIUM.slice(0, -1)}; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/116.0.1938.76 Safari/537.36`,
  ],
  [12, 'Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)'],
  [12, `Mozilla/5.0 ${CHROMIUM.slice(0, -1)}; compatible; GPTBot/1.2; +https://openai.com/gptbot)`],
  [9, 'Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)'],
  [7, 'Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)'],
  [6, 'DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)'],
]

const OLDER_VERSIONS = 10

/** Most readers have the newest version, or nearly. */
export function browserAgent(random: Random): string {
  const [, newest, agent] = random.pick(BROWSERS, ([weight]) => weight)
  return agent.replaceAll('$', String(newest - Math.floor(random.fraction() ** 3 * OLDER_VERSIONS)))
}

export function botAgent(random: Random): string {
  return random.pick(BOTS, ([weight]) => weight)[1]
}
