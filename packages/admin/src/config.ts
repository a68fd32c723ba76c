/** The one place where the panel's environment is read: a pure function of it, which reports every problem at once. */

import { proxyList } from '@postviews/client/src/index.ts'
import { shownValue } from '@postviews/client/src/shown-value.ts'
import { hostName } from './hosts.ts'
import { parseRoot } from './root.ts'

export interface Config {
  adminPassword: string
  host: string
  port: number
  analyticsUrl: string
  apiKey: string
  /** Null: posts are shown by their ids. */
  postsUrl: string | null
  sessionHours: number
  /** Addresses and networks of the proxies whose `X-Forwarded-*` are trusted. */
  trustedProxies: string[]
  /** The host names it answers to; none: to any. */
  hosts: string[]
  /** The path of the panel as browsers see it, with a slash at its end. */
  root: string
  logLevel: string
}

/** A setting as it is documented and read. `parse` throws an Error whose message completes "NAME: VALUE …". */
interface Setting<T> {
  name: string
  fallback: string
  help: string
  parse(text: string): T
}

/** The environment cannot be used as it is; `problems` names each setting that is wrong and what would be right. */
export class ConfigError extends Error {
  override name = 'ConfigError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(`settings are wrong:\n${problems.map(problem => `  - ${problem}`).join('\n')}`)
    this.problems = problems
  }
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

function setting<T>(name: string, fallback: string, help: string, parse: (text: string) => T): Setting<T> {
  return { name, fallback, help, parse }
}

const ADMIN_PASSWORD = setting('ADMIN_PASSWORD', '', 'the password to sign in with; required', text => {
  if (text === '') throw new Error('is not set; choose one, for example with `openssl rand -base64 18`')
  return text
})
const HOST = setting('HOST', '127.0.0.1', 'address the panel listens on', text => text)
const PORT = setting('PORT', '3200', 'port the panel listens on', text => integer(text, 0, 65_535))
const ANALYTICS_URL = setting(
  'ANALYTICS_URL',
  'http://127.0.0.1:3100',
  'where the internal API listens',
  httpUrl,
)
const INTERNAL_API_KEY = setting('INTERNAL_API_KEY', '', 'one key of the internal API; required', keyOf)
const POSTS_URL = setting(
  'POSTS_URL',
  '',
  'a service that returns titles, authors and links of posts; without one, posts are shown by their ids',
  text => (text === '' ? null : httpUrl(text)),
)
const SESSION_HOURS = setting('SESSION_HOURS', '12', 'how many hours a session lasts', text =>
  integer(text, 1, 720),
)
const TRUSTED_PROXIES = setting(
  'TRUSTED_PROXIES',
  '',
  'proxies in front of the panel whose `X-Forwarded-*` headers are trusted: addresses and networks, separated by commas',
  text => {
    const proxies = listOf(text)
    proxyList(proxies)
    return proxies
  },
)
const PANEL_HOSTS = setting(
  'PANEL_HOSTS',
  '',
  'the host names the panel answers to, separated by commas: `panel.example`; other names are refused. If not set, any name is accepted',
  text =>
    listOf(text).map(entry => {
      const name = hostName(entry)
      if (name === undefined || /:\d+$/.test(entry)) {
        throw new Error('is not a list of host names, each without scheme, port and path')
      }
      return name
    }),
)
const PANEL_PATH = setting(
  'PANEL_PATH',
  '/',
  'the path under which browsers find the panel, if it shares its host name with other sites: `/stats/`',
  parseRoot,
)
const LOG_LEVEL = setting('LOG_LEVEL', 'info', LOG_LEVELS.join(', '), text => {
  if (!LOG_LEVELS.includes(text)) throw new Error(`is not one of ${LOG_LEVELS.join(', ')}`)
  return text
})

/** Their values are never shown. */
const SECRETS = ['ADMIN_PASSWORD', 'INTERNAL_API_KEY']

/** Every setting there is, in the order the documentation lists them. */
export const SETTINGS: readonly Setting<unknown>[] = [
  ADMIN_PASSWORD,
  HOST,
  PORT,
  ANALYTICS_URL,
  INTERNAL_API_KEY,
  POSTS_URL,
  SESSION_HOURS,
  TRUSTED_PROXIES,
  PANEL_HOSTS,
  PANEL_PATH,
  LOG_LEVEL,
]

/** @throws {ConfigError} naming every problem */
export function readConfig(env: Record<string, string | undefined>): Config {
  const problems: string[] = []
  const read = <T>({ name, fallback, parse }: Setting<T>): T => {
    // An empty variable is how compose files and shells say "not set".
    const text = env[name]?.trim() || fallback
    try {
      return parse(text)
    } catch (error) {
      const shown = text === '' || SECRETS.includes(name) ? '' : `${shownValue(text)} `
      problems.push(`${name}: ${shown}${(error as Error).message}`)
      return undefined as T
    }
  }
  const config: Config = {
    adminPassword: read(ADMIN_PASSWORD),
    host: read(HOST),
    port: read(PORT),
    analyticsUrl: read(ANALYTICS_URL),
    apiKey: read(INTERNAL_API_KEY),
    postsUrl: read(POSTS_URL),
    sessionHours: read(SESSION_HOURS),
    trustedProxies: read(TRUSTED_PROXIES),
    hosts: read(PANEL_HOSTS),
    root: read(PANEL_PATH),
    logLevel: read(LOG_LEVEL),
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

function integer(text: string, min: number, max: number): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < min || value > max)
    throw new Error(`is not a whole number from ${min} to ${max}`)
  return value
}

// The text of a URL may hold a password, so the message never repeats it.
function httpUrl(text: string): string {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) throw new Error('is not an http or https URL')
  if (url.username !== '' || url.password !== '') throw new Error('must not contain a user or a password')
  return text
}

// Analytics takes several keys, so that they can be rotated; a client needs the newest, which is the first.
function keyOf(text: string): string {
  const key = listOf(text)[0]
  if (key === undefined) throw new Error('is not set; the panel needs it to read from Analytics')
  if (!/^[\x21-\x7e]+$/.test(key)) throw new Error('contains characters that an HTTP header cannot contain')
  return key
}

function listOf(text: string): string[] {
  return text
    .split(',')
    .map(entry => entry.trim())
    .filter(entry => entry !== '')
}
