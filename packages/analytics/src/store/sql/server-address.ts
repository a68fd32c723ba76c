/** From `DATABASE_URL` to a server that speaks SQL. */

import { readFileSync } from 'node:fs'
import { StoreRefused } from '../failures.ts'

export interface Server {
  host: string
  port: number
  user: string
  password: string
  database: string
  tls: { ca?: string } | null
}

const PORTS: Record<string, number> = { mysql: 3306, postgres: 5432, postgresql: 5432 }

/**
 * What is wrong with a URL of the form `mysql://user:password@host:port/database`, or `postgres:`, with `?ssl=true` for TLS, or
 * `?ssl-ca=FILE` for TLS with a private certificate authority; null when it can be used. The URL may hold a password, so the
 * message does not repeat it.
 */
export function problemOf(url: string): string | null {
  const parsed = URL.parse(url)
  const form = `${url.split(':')[0]}://user:password@host:port/database`
  if (parsed === null || parsed.hostname === '') {
    return `is not of the form ${form}: a port is a number up to 65535; in a user or password, write / as %2F, ? as %3F, # as %23 and @ as %40`
  }
  const { port, username, password, pathname, searchParams, hash } = parsed
  // pg would take a user from the environment.
  if (username === '' && parsed.protocol.startsWith('postgres')) return `names no user: ${form}`
  if (port === '0') return 'names port 0, which no server has'
  if (hash !== '') return 'holds a bare #: write it as %23'
  try {
    for (const part of [username, password, pathname]) decodeURIComponent(part)
  } catch {
    return 'holds a bare %: write it as %25'
  }
  const [, database, ...more] = pathname.split('/')
  if (database === undefined || database === '') return `names no database: ${form}`
  if (more.length > 0) return `has more than one / after the server: ${form}`
  // A misspelt parameter must not lead to a connection without TLS.
  for (const [name, value] of searchParams) {
    const isKnown = name === 'ssl-ca' ? value !== '' : name === 'ssl' && /^(?:true|false)$/.test(value)
    if (!isKnown) return `has ${name} in a form that is not supported: use ssl=true, ssl=false or ssl-ca=FILE`
  }
  return null
}

/** @throws {StoreRefused} for a URL that cannot be used */
export function serverOf(url: string): Server {
  const problem = problemOf(url)
  if (problem !== null) throw new StoreRefused(`DATABASE_URL: ${problem}`)
  const { protocol, hostname, port, username, password, pathname, searchParams } = new URL(url)
  const caFile = searchParams.get('ssl-ca')
  const usesTls = caFile !== null || searchParams.get('ssl') === 'true'
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || PORTS[protocol.slice(0, -1)]),
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    database: decodeURIComponent(pathname.slice(1)),
    tls: usesTls ? (caFile === null ? {} : { ca: readAuthority(caFile) }) : null,
  }
}

/** `HOST:PORT`, for messages. */
export function nameOf({ host, port }: Pick<Server, 'host' | 'port'>): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function readAuthority(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new StoreRefused('DATABASE_URL: the file of ssl-ca cannot be read', { cause })
  }
}
