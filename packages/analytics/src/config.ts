/** The only place that reads the environment: a pure function of it, which reports all problems at once. */

import { brokerUrls } from '@postviews/client/src/broker-urls.ts'
import { byteCount } from '@postviews/client/src/byte-count.ts'
import { shownValue } from '@postviews/client/src/shown-value.ts'
import { networksOf, OwnViews, usersOf } from './ingest/own-views.ts'
import { addressOf } from './store/clickhouse/address.ts'
import type { AskedSettings } from './store/counting-settings.ts'
import { type OwnHosts, ownHostsOf } from './store/own-hosts.ts'
import { type IpStorage, UNIQUE_BY as READERS_BY } from './store/row.ts'
import { problemOf as problemOfServer } from './store/sql/server-address.ts'
import { problemOf as problemOfSqlite } from './store/sqlite/address.ts'
import { timeZoneNamed } from './store/zone-rules.ts'

export interface Config {
  /** The URL of the broker, or one for each node of a cluster. */
  amqpUrls: readonly string[]
  databaseUrl: string
  apiKeys: string[]
  host: string
  port: number
  counting: AskedSettings
  /** Null: whatever the database records. */
  siteHosts: OwnHosts | null
  ipStorage: IpStorage
  /** A path; `none`; null: the database that comes with us. */
  geoipDb: string | null
  ownViews: OwnViews
  maxAgeSeconds: number
  rawRetentionDays: number
  deadRetentionDays: number
  deadMaxBytes: number
  batchEvents: number
  batchWaitMs: number
  logLevel: string
}

/** A setting as it is documented and read. `parse` throws an Error whose message completes "NAME: VALUE …". */
interface Setting<T> {
  name: string
  fallback: string
  help: string
  /** Its value is never shown. */
  isSecret?: true
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

const UNIQUE_WINDOWS = ['1h', '2h', '3h', '4h', '6h', '8h', '12h', '24h'] as const
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

function setting<T>(name: string, fallback: string, help: string, parse: (text: string) => T): Setting<T> {
  return { name, fallback, help, parse }
}

const AMQP_URL = setting(
  'AMQP_URL',
  'amqp://guest:guest@127.0.0.1:5672',
  'the broker; `amqps:` for TLS. For a cluster, the URLs of its nodes, separated by commas: when the connection to one is lost, the next is tried',
  brokerUrls,
)
const DATABASE_URL = setting(
  'DATABASE_URL',
  'sqlite:data/postviews.db',
  '`sqlite:PATH`; `mysql://user:password@host:port/database` or `postgres://user:password@host:port/database` (`?ssl=true` for TLS, `?ssl-ca=FILE` for a private authority); or `clickhouse://user:password@host:port,host:port/database` (`clickhouses:` for TLS; for several shards a host of each, and `?cluster=NAME`)',
  databaseUrl,
)
const INTERNAL_API_KEY: Setting<string[]> = {
  name: 'INTERNAL_API_KEY',
  fallback: '',
  help: 'one or more keys of the internal API, separated by commas; needed by `serve` and `api`',
  isSecret: true,
  parse: keysOf,
}
const HOST = setting('HOST', '127.0.0.1', 'address the internal API listens on', text => text)
const PORT = setting('PORT', '3100', 'port the internal API listens on', text => integer(text, 0, 65_535))
const STATS_TIMEZONE = setting('STATS_TIMEZONE', 'UTC', 'IANA time zone whose days are counted', text => {
  const name = timeZoneNamed(text)
  if (name === null) throw new Error('is not an IANA time zone such as Europe/Warsaw')
  return name
})
const UNIQUE_WINDOW = setting(
  'UNIQUE_WINDOW',
  '24h',
  'each reader counts once per post per window: `24h` (the day), or `1h`, `2h`, `3h`, `4h`, `6h`, `8h`, `12h`',
  text => Number.parseInt(oneOf(text, UNIQUE_WINDOWS), 10),
)
const UNIQUE_BY = setting(
  'UNIQUE_BY',
  '',
  'what tells readers apart: `network` (an IPv4 address, or the /64 network of an IPv6 address), `ip` (the whole address), `network+user_agent` or `ip+user_agent`. If not set, the value recorded in the database; a new database records `network`',
  text => (text === '' ? null : oneOf(text, READERS_BY)),
)
const BOTS = setting(
  'BOTS',
  'count',
  '`count` counts bots like other readers, `exclude` leaves them out of all other numbers',
  text => oneOf<AskedSettings['bots']>(text, ['count', 'exclude']),
)
const SITE_HOSTS = setting(
  'SITE_HOSTS',
  '',
  "the site's own hosts, separated by commas, so that links between its own pages do not count as referrers: `blog.example`; `*.blog.example` for all hosts below it; `none`. If not set, the list recorded in the database",
  text => (text === '' ? null : ownHostsOf(text)),
)
const IP_STORAGE = setting(
  'IP_STORAGE',
  'full',
  '`full` stores addresses in raw rows, `none` stores none',
  text => oneOf<IpStorage>(text, ['full', 'none']),
)
const GEOIP_DB = setting(
  'GEOIP_DB',
  '',
  "a country or city database in MaxMind's format, by which addresses get their country; `none`: countries are not kept. If not set, the one that comes with the service (DB-IP, June 2026)",
  text => text || null,
)
const EXCLUDE_USERS = setting(
  'EXCLUDE_USERS',
  '',
  'user ids, separated by commas, whose views are not counted and not kept: your own people',
  usersOf,
)
const EXCLUDE_NETWORKS = setting(
  'EXCLUDE_NETWORKS',
  '',
  'networks, separated by commas, from which views are not counted and not kept: `203.0.113.0/24`, `2001:db8::/48`, `192.0.2.7`',
  networksOf,
)
const EVENT_MAX_AGE = setting(
  'EVENT_MAX_AGE',
  '30d',
  'views older than this when received become dead letters: `90m`, `12h`, `30d`',
  durationSeconds,
)
const RAW_RETENTION_DAYS = setting(
  'RAW_RETENTION_DAYS',
  '90',
  'how many days raw rows are kept; 0: for ever',
  text => integer(text, 0, 36_500),
)
const DEAD_RETENTION_DAYS = setting(
  'DEAD_RETENTION_DAYS',
  '30',
  'how many days dead letters are kept',
  text => integer(text, 1, 36_500),
)
const DEAD_MAX_BYTES = setting(
  'DEAD_MAX_BYTES',
  '1GiB',
  'the maximum size of all dead letters on the broker, bodies and headers: `500000000`, `512MiB`, `1GiB`; above it, bad events are discarded',
  byteCount,
)
const BATCH_EVENTS = setting(
  'BATCH_EVENTS',
  '10000',
  'most views per commit (approximately); on SQLite also at most half that many messages. Default on MariaDB, MySQL and PostgreSQL: 5000',
  text => integer(text, 1, 20_000),
)
// A batch locks counters until it is committed, and other consumers wait for that. SQLite has one writer anyway: there a view takes 15 %
// less CPU in batches twice as big, and the process 15 MB more. On ClickHouse a batch of three times the size takes twice as long.
const BATCH_EVENTS_WHERE_OTHERS_WAIT = { ...BATCH_EVENTS, fallback: '5000' }
const BATCH_WAIT_MS = setting(
  'BATCH_WAIT_MS',
  '100',
  'how long a batch waits to fill. Default on ClickHouse: 1000',
  text => integer(text, 0, 5_000),
)
// On ClickHouse each batch adds a part to three tables, and parts have to be merged.
const BATCH_WAIT_MS_ON_CLICKHOUSE = { ...BATCH_WAIT_MS, fallback: '1000' }
const LOG_LEVEL = setting('LOG_LEVEL', 'info', `${LOG_LEVELS.join(', ')}`, text => oneOf(text, LOG_LEVELS))

/** Every setting there is, in the order the README lists them. */
export const SETTINGS: readonly Setting<unknown>[] = [
  AMQP_URL,
  DATABASE_URL,
  INTERNAL_API_KEY,
  HOST,
  PORT,
  STATS_TIMEZONE,
  UNIQUE_WINDOW,
  UNIQUE_BY,
  BOTS,
  SITE_HOSTS,
  IP_STORAGE,
  GEOIP_DB,
  EXCLUDE_USERS,
  EXCLUDE_NETWORKS,
  EVENT_MAX_AGE,
  RAW_RETENTION_DAYS,
  DEAD_RETENTION_DAYS,
  DEAD_MAX_BYTES,
  BATCH_EVENTS,
  BATCH_WAIT_MS,
  LOG_LEVEL,
]

/**
 * The settings of a command.
 *
 * @param needs `apiKey` for a command that serves the internal API
 * @throws {ConfigError} naming every problem
 */
export function readConfig(env: Record<string, string | undefined>, needs: { apiKey: boolean }): Config {
  const problems: string[] = []
  // An empty variable is how compose files and shells say "not set".
  const textOf = ({ name, fallback }: Setting<unknown>) => env[name]?.trim() || fallback
  const read = <T>(setting: Setting<T>): T => {
    const text = textOf(setting)
    try {
      return setting.parse(text)
    } catch (error) {
      const shown = setting.isSecret ? '' : `${shownValue(text)} `
      problems.push(`${setting.name}: ${shown}${(error as Error).message}`)
      return undefined as T
    }
  }

  const readOwnViews = () => {
    const [users, networks] = [read(EXCLUDE_USERS), read(EXCLUDE_NETWORKS)]
    return new OwnViews(users ?? new Set(), networks ?? [])
  }

  const amqpUrls = read(AMQP_URL)
  const databaseUrl = read(DATABASE_URL)
  const isOnClickhouse = databaseUrl?.startsWith('clickhouse')
  const isOnSqlite = databaseUrl?.startsWith('sqlite:')
  const config: Config = {
    amqpUrls,
    databaseUrl,
    apiKeys: read(INTERNAL_API_KEY),
    host: read(HOST),
    port: read(PORT),
    counting: {
      timeZone: read(STATS_TIMEZONE),
      windowHours: read(UNIQUE_WINDOW),
      uniqueBy: read(UNIQUE_BY),
      bots: read(BOTS),
    },
    siteHosts: read(SITE_HOSTS),
    ipStorage: read(IP_STORAGE),
    geoipDb: read(GEOIP_DB),
    ownViews: readOwnViews(),
    maxAgeSeconds: read(EVENT_MAX_AGE),
    rawRetentionDays: read(RAW_RETENTION_DAYS),
    deadRetentionDays: read(DEAD_RETENTION_DAYS),
    deadMaxBytes: read(DEAD_MAX_BYTES),
    batchEvents: read(isOnClickhouse || isOnSqlite ? BATCH_EVENTS : BATCH_EVENTS_WHERE_OTHERS_WAIT),
    batchWaitMs: read(isOnClickhouse ? BATCH_WAIT_MS_ON_CLICKHOUSE : BATCH_WAIT_MS),
    logLevel: read(LOG_LEVEL),
  }

  if (needs.apiKey && config.apiKeys?.length === 0) {
    problems.push(
      'INTERNAL_API_KEY: is not set; choose a key for the internal API, for example with `openssl rand -hex 32`',
    )
  }
  if (config.rawRetentionDays > 0 && config.rawRetentionDays * 86_400 < config.maxAgeSeconds) {
    const [kept, accepted] = [RAW_RETENTION_DAYS, EVENT_MAX_AGE].map(each => shownValue(textOf(each)))
    problems.push(
      `RAW_RETENTION_DAYS: ${kept} is shorter than EVENT_MAX_AGE, ${accepted}: a view could be delivered again after its id was forgotten; raise RAW_RETENTION_DAYS or lower EVENT_MAX_AGE`,
    )
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

/** A URL fit for a log or an error: without its password, and without its query. */
export function withoutSecrets(url: string): string {
  const parsed = URL.parse(url)
  // If a password holds an unencoded slash, its end is parsed as the path, or the URL is invalid.
  if (parsed === null || parsed.host === '' || parsed.pathname.includes('@')) {
    return url.replace(/\/\/.*@/s, '//').replace(/\?.*/s, '')
  }
  return `${parsed.protocol}//${parsed.host}${parsed.pathname}`
}

function oneOf<T extends string>(text: string, allowed: readonly T[]): T {
  const found = allowed.find(value => value === text)
  if (found === undefined) throw new Error(`is not one of ${allowed.join(', ')}`)
  return found
}

function integer(text: string, min: number, max: number): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < min || value > max)
    throw new Error(`is not a whole number from ${min} to ${max}`)
  return value
}

const DURATION_SECONDS: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400 }

function durationSeconds(text: string): number {
  const match = /^([1-9]\d{0,6})([smhd])$/.exec(text)
  if (match === null)
    throw new Error('is not a duration such as 90m, 12h or 30d, above 0 and below 10000000d')
  return Number(match[1]) * DURATION_SECONDS[match[2]!]!
}

const DATABASE_FORMS =
  'sqlite:PATH, mysql://user:password@host:port/database, postgres://user:password@host:port/database and clickhouse://user:password@host:port/database'

/** @throws {Error} saying what it is not */
export function databaseUrl(text: string): string {
  if (/^clickhouses?:/.test(text)) {
    addressOf(text)
    return text
  }
  const problem = text.startsWith('sqlite:')
    ? problemOfSqlite(text)
    : /^(?:mysql|postgres|postgresql):/.test(text)
      ? problemOfServer(text)
      : `is not one of ${DATABASE_FORMS}${meantBy(text)}`
  if (problem !== null) throw new Error(problem)
  return text
}

/** A hint for URLs in the form of other programs. */
function meantBy(text: string): string {
  if (/^(?:mysqls|mariadbs):/i.test(text)) return ': write mysql: and ?ssl=true at the end'
  if (/^(?:mariadb|jdbc:m\w+|mysql2?|mysql\+\w+):/i.test(text)) return ': write mysql:'
  if (/^(?:postgres\w*|pgsql|psql):/i.test(text)) return ': write postgres:'
  if (/^(?:sqlite3?|file):/i.test(text) || text === ':memory:' || !text.includes(':'))
    return ': for a file write sqlite: and its path, as `sqlite:data/views.db`'
  return ''
}

function keysOf(text: string): string[] {
  const keys = text
    .split(',')
    .map(key => key.trim())
    .filter(key => key !== '')
  for (const key of keys) {
    if (!/^[\x21-\x7e]+$/.test(key))
      throw new Error('a key contains characters that an HTTP header cannot contain')
  }
  return keys
}
