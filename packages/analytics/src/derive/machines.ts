/** Tells machines from people by their user agents, and says who the machines are. */

import { readFileSync } from 'node:fs'
import { ByteCache, entryBytes } from '@postviews/client/src/byte-cache.ts'
import { isbot } from 'isbot'

export const PURPOSES = [
  'search',
  'ai_training',
  'ai_answer',
  'preview',
  'feed',
  'monitor',
  'seo',
  'tool',
  'other',
] as const
/** Why a machine reads. `ai_answer`: a person has asked an assistant, which fetches the post for the answer. */
export type Purpose = (typeof PURPOSES)[number]

/** The lists' expressions take longer the longer a text is. Real agents are shorter. */
const MAX_CHARACTERS = 1_000

/**
 * The model of a device, as browsers on Android tell it. There are phones called FOSSiBOT, Spider 8 and Redmi Discovery, which
 * the list takes for bots because of these names. Some browsers write the language before the model. What contains a slash is a
 * program with its version, and not a model.
 */
const ANDROID_MODEL = /(\bAndroid \d[\d.]*; ?(?:[a-z]{2}[-_][A-Za-z]{2}; ?)?)[^;)/]+(?= Build\/|[;)])/

/** Machines that are not on isbot's list: Amazon's fetcher for people who ask Alexa, and a speed test. */
const UNLISTED = /\b(?:Amzn-User|GTmetrix)\b/

/** Whether the user agent is a machine's. One that does not say so counts as a person's. */
export function isBot(userAgent: string): boolean {
  const text = userAgent.slice(0, MAX_CHARACTERS).replace(ANDROID_MODEL, '$1')
  return isbot(text) || UNLISTED.test(text)
}

interface Machine {
  name: string
  purpose: Purpose
  /** In lower case. */
  tokens: readonly string[]
}

const LIST = readFileSync(new URL('./machines.tsv', import.meta.url), 'utf8')
const MACHINES = readMachines(LIST)

/** The version of the list. It rises with every change of the list or of the families, so that old views can be derived again. */
export const MACHINES_VERSION = Number(/^# version (\d+)\n/.exec(LIST)?.[1])

/** @throws {Error} if a line is not a name, a purpose and tokens */
export function readMachines(text: string): readonly Machine[] {
  return text
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(line => {
      const [name, purpose, tokens, ...rest] = line.split('\t')
      if (!name || !tokens || rest.length > 0 || !PURPOSES.includes(purpose as Purpose))
        throw new Error(`machines.tsv: not a name, a purpose and tokens: ${line}`)
      return { name, purpose: purpose as Purpose, tokens: tokens.split('|') }
    })
}

const UNKNOWN = { name: 'unknown', purpose: 'other' } as const

/** Who a machine is: `unknown` if our list does not name it. Never a part of the text, which anybody can send. */
export function machineOf(userAgent: string): Pick<Machine, 'name' | 'purpose'> {
  const text = userAgent.slice(0, MAX_CHARACTERS).toLowerCase()
  return MACHINES.find(({ tokens }) => tokens.some(token => text.includes(token))) ?? UNKNOWN
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
