/** The only place where the blog reads its environment. A pure function of it, which reports every problem at once. */

import { proxyList } from '@postviews/client/src/index.ts'
import { shownValue } from '@postviews/client/src/shown-value.ts'
import { trackerUrls } from '@postviews/client/src/tracker-urls.ts'

export interface Config {
  /** One URL, or one for each node of a cluster; or a relay's socket, optionally followed by its fallback. */
  amqpUrls: string[]
  analyticsUrl: string
  apiKey: string
  host: string
  port: number
  /** Addresses and networks of the proxies in front, whose `X-Forwarded-For` is trusted. */
  trustedProxies: string[]
  /** The blog's public URL, without a trailing slash; null: unknown. */
  publicUrl: string | null
  /** `YYYY-MM-DD`; null for today. */
  sampleDay: string | null
}

/** The environment is invalid; `problems` names each wrong setting and what would be right. */
export class ConfigError extends Error {
  override name = 'ConfigError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(`settings are wrong:\n${problems.map(problem => `  - ${problem}`).join('\n')}`)
    this.problems = problems
  }
}

/** @throws {ConfigError} naming every problem */
export function readConfig(env: Record<string, string | undefined>): Config {
  const problems: string[] = []
  const read = <T>(name: string, fallback: string, parse: (text: string) => T): T => {
    // An empty variable is how compose files and shells say "not set".
    const text = env[name]?.trim() || fallback
    try {
      return parse(text)
    } catch (error) {
      const shown = text === '' || name === 'INTERNAL_API_KEY' ? '' : `${shownValue(text)} `
      problems.push(`${name}: ${shown}${(error as Error).message}`)
      return undefined as T
    }
  }

  const config: Config = {
    amqpUrls: read('AMQP_URL', 'amqp://guest:guest@127.0.0.1:5672', trackerUrls),
    analyticsUrl: read('ANALYTICS_URL', 'http://127.0.0.1:3100', webUrlOf),
    apiKey: read('INTERNAL_API_KEY', '', keyOf),
    host: read('HOST', '127.0.0.1', text => text),
    port: read('PORT', '3300', portOf),
    trustedProxies: read('TRUSTED_PROXIES', '', proxiesOf),
    publicUrl: read('PUBLIC_URL', '', publicUrlOf),
    sampleDay: read('SAMPLE_DAY', '', dayOf),
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

// A URL may hold a password, so no message quotes it; `shownValue` decides what can be shown.
function webUrlOf(text: string): string {
  const url = URL.parse(text)
  if (url === null || url.hostname === '' || !['http:', 'https:'].includes(url.protocol)) {
    throw new Error('is not a URL that begins with http:// or https://')
  }
  return text
}

function keyOf(text: string): string {
  if (text === '') throw new Error('is not set; use one of the keys in the INTERNAL_API_KEY of analytics')
  if (!/^[\x21-\x2b\x2d-\x7e]+$/.test(text)) throw new Error('is not one key of printable ASCII characters')
  return text
}

function portOf(text: string): number {
  const port = Number(text)
  if (!/^\d+$/.test(text) || port > 65_535) throw new Error('is not a whole number from 0 to 65535')
  return port
}

function proxiesOf(text: string): string[] {
  const entries = text
    .split(',')
    .map(entry => entry.trim())
    .filter(entry => entry !== '')
  proxyList(entries)
  return entries
}

function publicUrlOf(text: string): string | null {
  if (text === '') return null
  const { origin, pathname, search, hash, username } = new URL(webUrlOf(text))
  if (pathname !== '/' || search !== '' || hash !== '' || username !== '') {
    throw new Error('is not the address of a site such as https://blog.example, with nothing after it')
  }
  return origin
}

function dayOf(text: string): string | null {
  if (text === '') return null
  const time = Date.parse(`${text}T00:00:00Z`)
  const isDay = /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(time)
  // Date would parse 30 February as a day in March.
  if (!isDay || new Date(time).toISOString().slice(0, 10) !== text)
    throw new Error('is not a day, YYYY-MM-DD')
  return text
}
