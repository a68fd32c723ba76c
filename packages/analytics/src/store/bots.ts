/** Tells machines from people by their user agents. */

import { ByteCache, entryBytes } from '@postviews/client/src/byte-cache.ts'
import { isbot } from 'isbot'

/** The list's expressions take longer the longer a text is, and readers may send any. Real agents are shorter. */
const MAX_CHARACTERS = 1_000

/**
 * The model of a device, as browsers on Android tell it. There are phones called FOSSiBOT, Spider 8 and Redmi Discovery, which
 * the list takes for bots because of these names. Some browsers write the language before the model. What contains a slash is a
 * program with its version, and not a model.
 */
const ANDROID_MODEL = /(\bAndroid \d[\d.]*; ?(?:[a-z]{2}[-_][A-Za-z]{2}; ?)?)[^;)/]+(?= Build\/|[;)])/

/** Machines that are not on the list: Amazon's fetcher for people who ask Alexa, and a speed test. */
const UNLISTED = /\b(?:Amzn-User|GTmetrix)\b/

/** Whether the user agent is a machine's. One that does not say so counts as a person's. */
export function isBot(userAgent: string): boolean {
  const text = userAgent.slice(0, MAX_CHARACTERS).replace(ANDROID_MODEL, '$1')
  return isbot(text) || UNLISTED.test(text)
}

/** Enough for some 20,000 browsers. Bounded, because readers can invent any number of agents. */
const KNOWN_AGENTS_BYTES = 8 * 1_048_576

/** Judges each user agent once: the list is long, and agents repeat. */
export class BotList {
  readonly #known = new ByteCache<boolean>(KNOWN_AGENTS_BYTES)

  isBot(userAgent: string | null): boolean {
    if (userAgent === null || userAgent === '') return false
    let bot = this.#known.get(userAgent)
    if (bot === undefined) {
      bot = isBot(userAgent)
      this.#known.set(userAgent, bot, entryBytes(userAgent))
    }
    return bot
  }
}
