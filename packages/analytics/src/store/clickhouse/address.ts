/** From `DATABASE_URL` to the servers of a ClickHouse. */

import { StoreRefused } from '../failures.ts'

export interface Address {
  /** `http://host:port`, for each shard one server or several replicas. */
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
 * @throws {StoreRefused} for a URL that cannot be used: the message completes "DATABASE_URL …". The URL may hold a
 *   password, so the message does not repeat it
 */
export function addressOf(url: string): Address {
  const parts = FORM.exec(url)?.groups
  if (parts === undefined) {
    throw new StoreRefused(
      'is not of the form clickhouse://user:password@host:port/database: in a user or password, write / as %2F, ? as %3F, : as %3A and @ as %40',
    )
  }
  const { tls, user, password, hosts, database, query } = parts as Record<string, string | undefined>
  const options = new URLSearchParams(query ?? '')
  const unknown = [...options.keys()].find(key => key !== 'cluster')
  if (unknown !== undefined)
    throw new StoreRefused(`has the unknown option ${unknown}: the only option is cluster=NAME`)
  const cluster = options.get('cluster')
  if (cluster !== null && !/^\w+$/.test(cluster))
    throw new StoreRefused('has an invalid cluster name: use letters, digits and _')
  const origins = hosts!.split(',').map(host => originOf(tls === 's' ? 'https' : 'http', host))
  if (origins.length > 1 && cluster === null) {
    throw new StoreRefused('names several hosts but no cluster: add its name, such as ?cluster=postviews')
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
    throw new StoreRefused('has an invalid host or port: write host:port, with a port up to 65535')
  }
  if (/:\d+$/.test(host)) return parsed.origin
  // ClickHouse's own ports, not those of the web.
  return `${parsed.origin}:${scheme === 'https' ? 8443 : 8123}`
}
