/** The relay's settings: a pure function of the environment, which reports every problem at once. */

import { resolve } from 'node:path'
import { brokerUrls } from '../broker-urls.ts'
import { byteCount } from '../byte-count.ts'
import { shownValue } from '../shown-value.ts'
import { isActivated } from './listen.ts'
import { LOG_LEVELS, type LogLevel } from './log.ts'
import { MAX_SOCKET_PATH_BYTES } from './protocol.ts'
import { LOCK_NAME_BYTES } from './spool-lock.ts'

export interface RelayConfig {
  amqpUrls: readonly string[]
  /** Null: systemd hands one over. */
  socket: string | null
  spool: string
  maxBytes: number
  /** Null: no HTTP. */
  port: number | null
  host: string
  logLevel: LogLevel
}

interface Setting<T> {
  name: string
  fallback: string
  help: string
  /** @throws {Error} whose message completes "NAME: VALUE …" */
  parse(text: string): T
}

const LEAST_MAX_BYTES = 1_048_576

const AMQP_URL: Setting<string[]> = {
  name: 'AMQP_URL',
  fallback: 'amqp://guest:guest@127.0.0.1:5672',
  help: 'the broker; `amqps:` for TLS. For a cluster, the URLs of its nodes, separated by commas: when the connection to one is lost, the next is tried',
  parse: brokerUrls,
}
const RELAY_SOCKET: Setting<string> = {
  name: 'RELAY_SOCKET',
  fallback: 'data/relay.sock',
  help: 'the socket file on which views are accepted, from its owner and group. Not used if systemd passes a socket',
  // The senders may share this variable, and they write `unix:`.
  parse: text => pathWithin(text.replace(/^unix:/, ''), MAX_SOCKET_PATH_BYTES, 'a path'),
}
const RELAY_SPOOL: Setting<string> = {
  name: 'RELAY_SPOOL',
  fallback: 'data/relay',
  help: 'the folder of the spool, on a disk of this machine; created if it does not exist. Each relay needs its own',
  parse: text => pathWithin(text, MAX_SOCKET_PATH_BYTES - LOCK_NAME_BYTES, 'a folder'),
}
const RELAY_MAX_BYTES: Setting<number> = {
  name: 'RELAY_MAX_BYTES',
  fallback: '1GiB',
  help: 'the maximum size of the spool: `500000000`, `512MiB`, `1GiB`, at least `1MiB`; when it is reached, views are refused. A million views take about 400 MB',
  parse(text) {
    const bytes = byteCount(text)
    if (bytes < LEAST_MAX_BYTES) throw new Error('is less than 1MiB')
    return bytes
  },
}
const RELAY_PORT: Setting<number | null> = {
  name: 'RELAY_PORT',
  fallback: '',
  help: 'port for HTTP: `POST /views`, `GET /livez`, `/readyz`, `/metrics`. If not set, there is no HTTP',
  parse(text) {
    if (text === '') return null
    if (!/^\d+$/.test(text) || Number(text) > 65_535) throw new Error('is not a whole number from 0 to 65535')
    return Number(text)
  },
}
const RELAY_HOST: Setting<string> = {
  name: 'RELAY_HOST',
  fallback: '127.0.0.1',
  help: 'address that HTTP listens on. Anyone who can reach it may send views',
  parse: text => text,
}
const LOG_LEVEL: Setting<LogLevel> = {
  name: 'LOG_LEVEL',
  fallback: 'info',
  help: LOG_LEVELS.map(level => `\`${level}\``).join(', '),
  parse(text) {
    const level = LOG_LEVELS.find(each => each === text)
    if (level === undefined) throw new Error(`is not one of ${LOG_LEVELS.join(', ')}`)
    return level
  },
}

/** In the order in which they are documented. */
export const RELAY_SETTINGS: readonly Setting<unknown>[] = [
  AMQP_URL,
  RELAY_SOCKET,
  RELAY_SPOOL,
  RELAY_MAX_BYTES,
  RELAY_PORT,
  RELAY_HOST,
  LOG_LEVEL,
]

/** The help text: each setting, its default, what it is. */
export function relaySettingsHelp(): string {
  return RELAY_SETTINGS.map(
    ({ name, fallback, help }) => `  ${name}${fallback === '' ? '' : ` (${fallback})`}\n      ${help}`,
  ).join('\n')
}

/** @throws {Error} that names each setting that is wrong, and what would be right */
export function readRelayConfig(env: Record<string, string | undefined>): RelayConfig {
  const problems: string[] = []
  const read = <T>({ name, fallback, parse }: Setting<T>): T => {
    // An empty variable is how compose files and shells say "not set".
    const text = env[name]?.trim() || fallback
    try {
      return parse(text)
    } catch (error) {
      problems.push(`${name}: ${shownValue(text)} ${(error as Error).message}`)
      return undefined as T
    }
  }
  const config: RelayConfig = {
    amqpUrls: read(AMQP_URL),
    socket: isActivated(env) ? null : read(RELAY_SOCKET),
    spool: read(RELAY_SPOOL),
    maxBytes: read(RELAY_MAX_BYTES),
    port: read(RELAY_PORT),
    host: read(RELAY_HOST),
    logLevel: read(LOG_LEVEL),
  }
  for (const name of Object.keys(env)) {
    if (name.startsWith('RELAY_') && !RELAY_SETTINGS.some(setting => setting.name === name))
      problems.push(
        `${name}: is not a setting; the settings are ${RELAY_SETTINGS.map(each => each.name).join(', ')}`,
      )
  }
  if (problems.length > 0) {
    throw new Error(`settings are wrong:\n${problems.map(problem => `  - ${problem}`).join('\n')}`)
  }
  return config
}

function pathWithin(text: string, maxBytes: number, what: string): string {
  const path = resolve(text)
  const bytes = Buffer.byteLength(path)
  if (bytes > maxBytes) {
    throw new Error(`is ${what} of ${bytes} bytes, but the address of a socket has room for only ${maxBytes}`)
  }
  return path
}
