/** From `DATABASE_URL` to the servers of a ClickHouse. */

import { StoreRefused } from '../failures.ts'

export interface Address {
  /** `http://host:port`, of each shard one server or several replicas. */
  origins: string[]
  user: string
  password: string
  database: string
  /** The name under which the servers know each other; null for a lone one. */
  cluster: string | null
}

const FORM =
  /^clickhouse(?<tls>s?):\/\/(?:(?<user>[^:@/]*)(?::(?<password>[^@/]*))?@)?(?<hosts>[^/@?]+)\/(?<database>\w+)(?:\?(?<query>.*))?$/

/**
 * @throws {StoreRefused} for a URL that says what cannot be done: its message completes "DATABASE_URL …". It may hold a
 *   password, so it is not repeated
 */
export function addressOf(url: string): Address {
  const parts = FORM.exec(url)?.groups
  if (parts === undefined) {
    throw new StoreRefused(
      'is not of the form clickhouse://user:password@host:port/database: in a user or password / is written %2F, ? %3F, : %3A and @ %40',
    )
  }
  const { tls, user, password, hosts, database, query } = parts as Record<string, string | undefined>
  const options = new URLSearchParams(query ?? '')
  const unknown = [...options.keys()].find(key => key !== 'cluster')
  if (unknown !== undefined) throw new StoreRefused(`cannot have ${unknown}: there is cluster=NAME alone`)
  const cluster = options.get('cluster')
  if (cluster !== null && !/^\w+$/.test(cluster))
    throw new StoreRefused('names a cluster that cannot be one: letters, digits and _')
  const origins = hosts!.split(',').map(host => originOf(tls === 's' ? 'https' : 'http', host))
  if (origins.length > 1 && cluster === null) {
    throw new StoreRefused('names several hosts, which are a cluster: add its name, as ?cluster=postviews')
  }
  return {
    origins,
    user: decoded(user || 'default'),
    password: decoded(password ?? ''),
    database: database!,
    cluster,
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new StoreRefused('holds a bare %: write it as %25')
  }
}

function originOf(scheme: 'http' | 'https', host: string): string {
  const parsed = URL.parse(`${scheme}://${host}`)
  if (parsed === null || parsed.hostname === '' || parsed.port === '0') {
    throw new StoreRefused('names no host, or a port that is none: host:port, with a number up to 65535')
  }
  if (/:\d+$/.test(host)) return parsed.origin
  // ClickHouse's own ports, not those of the web.
  return `${parsed.origin}:${scheme === 'https' ? 8443 : 8123}`
}
