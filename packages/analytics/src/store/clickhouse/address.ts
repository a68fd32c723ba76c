/** From `DATABASE_URL` to the servers of a ClickHouse. */

import { StoreRefused } from '../store.ts'

export interface Address {
  /** `http://host:port`, one server of each shard. */
  origins: string[]
  user: string
  password: string
  database: string
  /** The name under which the servers know each other; null for a lone one. */
  cluster: string | null
}

const FORM =
  /^clickhouse(?<tls>s?):\/\/(?:(?<user>[^:@/]*)(?::(?<password>[^@/]*))?@)?(?<hosts>[^/@?]+)\/(?<database>\w+)(?:\?(?<query>.*))?$/

/** @throws {StoreRefused} for a URL that says what cannot be done; it may hold a password, so it is not repeated */
export function addressOf(url: string): Address {
  const parts = FORM.exec(url)?.groups
  if (parts === undefined) {
    throw new StoreRefused('the URL is not of the form clickhouse://user:password@host:port/database')
  }
  const { tls, user, password, hosts, database, query } = parts as Record<string, string | undefined>
  const options = new URLSearchParams(query ?? '')
  const unknown = [...options.keys()].find(key => key !== 'cluster')
  if (unknown !== undefined)
    throw new StoreRefused(`the URL's option ${unknown} is none of ClickHouse's here`)
  const cluster = options.get('cluster')
  if (cluster !== null && !/^\w+$/.test(cluster)) throw new StoreRefused('the cluster has no such name')
  const origins = hosts!.split(',').map(host => originOf(tls === 's' ? 'https' : 'http', host))
  if (origins.length > 1 && cluster === null) {
    throw new StoreRefused('several hosts are a cluster: add its name to the URL, as ?cluster=postviews')
  }
  return {
    origins,
    user: decodeURIComponent(user || 'default'),
    password: decodeURIComponent(password ?? ''),
    database: database!,
    cluster,
  }
}

function originOf(scheme: 'http' | 'https', host: string): string {
  const parsed = URL.parse(`${scheme}://${host}`)
  if (parsed === null || parsed.hostname === '') throw new StoreRefused('the URL names no host')
  if (/:\d+$/.test(host)) return parsed.origin
  // ClickHouse's own ports, not those of the web.
  return `${parsed.origin}:${scheme === 'https' ? 8443 : 8123}`
}
