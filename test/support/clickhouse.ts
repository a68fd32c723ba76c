/** ClickHouse for the store's contract: its servers, and the contract's SQL in ClickHouse's words. */

import { after } from 'node:test'
import {
  type Clickhouse,
  type ClickhouseCluster,
  startClickhouseCluster,
} from '../../tools/stack/clickhouse.ts'
import type { ContractEngine } from '../store-contract-database.ts'
import { unix } from './views.ts'

type Row = Record<string, unknown>

/** An own cluster for a test file, started when first asked for. */
export function ownCluster(shards: number): () => Promise<ClickhouseCluster> {
  let started: Promise<ClickhouseCluster> | undefined
  after(async () => (await started)?.stop())
  return () => {
    started ??= startClickhouseCluster({ shards })
    return started
  }
}

/** The `DATABASE_URL` of a database; of a lone server without a cluster. */
export function clickhouseUrl({ shards }: ClickhouseCluster, database: string): string {
  const hosts = shards.map(({ port }) => `127.0.0.1:${port}`).join(',')
  return `clickhouse://${hosts}/${database}${shards.length > 1 ? '?cluster=postviews' : ''}`
}

/** Runs one statement in a database of a shard. */
export async function queryShard(
  { httpUrl }: Pick<Clickhouse, 'httpUrl'>,
  database: string,
  sql: string,
): Promise<Row[]> {
  const settings = new URLSearchParams({
    database,
    default_format: 'JSONEachRow',
    wait_end_of_query: '1',
    mutations_sync: '2',
    async_insert: '0',
    output_format_json_quote_64bit_integers: '0',
  })
  // A connection kept from before the server was killed would fail the next statement.
  const headers = { connection: 'close' }
  const response = await fetch(`${httpUrl}/?${settings}`, { method: 'POST', headers, body: sql })
  const text = (await response.text()).trimEnd()
  if (!response.ok) throw new Error(`ClickHouse refuses ${sql.trim().slice(0, 80)}: ${text}`)
  return text === '' ? [] : text.split('\n').map(line => JSON.parse(line) as Row)
}

export function clickhouseEngine(shards: number): ContractEngine {
  const cluster = ownCluster(shards)
  const databaseOf = (url: string) => /\/(\w+)(?:\?|$)/.exec(url)![1]!
  return {
    async create() {
      const running = await cluster()
      const database = await running.database()
      return {
        url: clickhouseUrl(running, database),
        remove: async () => {
          await Promise.all(running.shards.map(shard => shard.query(`DROP DATABASE ${database}`)))
        },
      }
    },
    async sql(url, statement) {
      const database = databaseOf(url)
      const running = (await cluster()).shards
      const found = new Map<string, Row>()
      for (const [index, shard] of running.entries()) {
        const sql = translate(statement, index)
        if (sql === null) continue
        for (const row of await queryShard(shard, database, sql)) found.set(JSON.stringify(row), row)
      }
      return [...found.values()]
    },
    // Its DateTime ends in 2106.
    unkeepable: { viewedAt: unix('2106-03-01T00:00:00Z') },
    counters: ['post_view_visitors', 'post_view_figures'],
    keepsTotals: false,
    settlesDays: false,
  }
}

/** Labels of long ago, the first of which keeps its figures on the first shard. */
const strangers = (shard: number) => `01900000-0000-7000-8000-00000000000${shard}`

const KINDS: Record<string, string> = {
  post_view_aggregates: 'post',
  post_view_referrers: 'referrer',
  site_view_aggregates: 'site',
  site_view_referrers: 'site_referrer',
}

/**
 * What a statement of the contract is on a shard; null when it does nothing there. Counters are figures of batches here,
 * rows are deliveries, and nothing keeps totals.
 */
function translate(statement: string, shard: number): string | null {
  const [, verb, table, rest] =
    /^(SELECT(?=.*? FROM)|ALTER TABLE|UPDATE|DELETE FROM|INSERT INTO)(?:(?<=SELECT).*? FROM)?\s+(\w+)\s*(.*)$/s.exec(
      statement,
    )!
  if (table === 'post_view_totals') return null
  if (verb === 'ALTER TABLE') return statement.replace(/ALTER TABLE (\w+) RENAME/, 'RENAME TABLE $1')
  if (verb === 'SELECT') return shard === 0 || table === 'post_view_visitors' ? statement : null

  const uuids = rest!.replace(/x'(\w+)'/g, "toUUID('$1')").replace(', viewed_at = viewed_at', '')
  const words = table! in KINDS ? figureWords(uuids) : uuids
  const kind = KINDS[table!]
  if (verb === 'INSERT INTO') {
    if (table === 'post_views') return insertStrangers(rest!, shard)
    if (shard > 0) return null
    if (table === 'post_view_visitors') {
      return `INSERT INTO ${table} ${words}`
        .replace('visitor)', 'visitor, epoch, batch)')
        .replace(/\)\s*$/, `, 1, '${strangers(0)}')`)
        .replace('visitor FROM', `visitor, 1, toUUID('${strangers(0)}') FROM`)
    }
    if (kind === undefined) return statement
    return `INSERT INTO post_view_figures ${words}`
      .replace('(', '(kind, batch, ')
      .replace(/VALUES\s*\(/, `VALUES ('${kind}', '${strangers(0)}', `)
  }
  const target =
    table === 'post_views' ? 'post_view_deliveries' : kind === undefined ? table : 'post_view_figures'
  const [, set, where] = /^(?:SET (.*?))?\s*(?:WHERE (.*))?$/s.exec(words)!
  const own = (where ?? 'true').replace('day IS NOT NULL', `batch != '${strangers(shard)}'`)
  const condition = kind === undefined ? own : `kind = '${kind}' AND ${own}`
  return `ALTER TABLE ${target} ${set === undefined ? 'DELETE' : `UPDATE ${set}`} WHERE ${condition}`
}

function figureWords(words: string): string {
  return words.replace(/\bdate\b/g, 'day').replace(/\bview_count\b/g, 'views')
}

/** Rows that a consumer committed, and died before it counted them. */
function insertStrangers(rest: string, shard: number): string {
  const [, ip, where] = /SELECT post_uuid, user_id, (.*?), user_agent.*?FROM post_views\s*(.*)$/s.exec(rest)!
  return `
    INSERT INTO post_view_deliveries
    SELECT generateUUIDv4(), false, '${strangers(shard)}', epoch, post_uuid, user_id, ${ip}, user_agent, referer, viewed_at,
           received_at, day, slice, logged_in, bot, visitor, referer_host
    FROM post_view_deliveries ${where}`
}
