/** The store in MySQL or MariaDB: tables that the articles' own queries go on reading, and several consumers. */

import { Who } from '../../derive/who.ts'
import { settingsInUse } from '../agreement.ts'
import { Calendar } from '../calendar.ts'
import type { AskedSettings, StoreOptions } from '../counting-settings.ts'
import { StoreRefused } from '../failures.ts'
import { DAY_COLUMNS, isTime } from '../sql/figure-columns.ts'
import { Rankings } from '../sql/rankings.ts'
import { nameOf, serverOf } from '../sql/server-address.ts'
import { SELECT_STATE, type SqlEngine, toState } from '../sql/sql.ts'
import { createSqlStore } from '../sql/sql-store.ts'
import type { Store } from '../store.ts'
import { NEWEST_RULES } from '../zone-rules.ts'
import { type ConnectionOptions, type MysqlClient, MysqlConnection, MysqlConnections } from './connection.ts'
import { migrate } from './migrate.ts'
import { BEING_ADOPTED, recordViews } from './record.ts'
import { findSchema } from './schema.ts'
import { fromTimestamp, toTimestamp } from './text.ts'

const READ_CONNECTIONS = 4
/** As many as there are batches under way in a consumer. */
const WRITE_CONNECTIONS = 2
const READ = { statementLimitMs: 15_000 }
const BATCH = { statementLimitMs: 30_000 }
// Retention runs in consumers, and may delay the stop of one by at most this.
const HOUSEKEEPING = { statementLimitMs: 60_000 }
// Recounting a big day, or reading all rows, may take long.
const RECOUNT = { statementLimitMs: 3_600_000 }
// Rewriting a big table takes hours; TCP keepalive detects a connection that is lost meanwhile.
const MIGRATION = { statementLimitMs: 2 ** 31 - 1 }

/**
 * If MySQL groups in a temporary table, it cannot insert the MIN or MAX of a DATE or TIMESTAMP whose first value is null: it
 * takes that for 0000-00-00 (1292). Other types work. Whether it needs such a table depends on the keys of adopted tables.
 */
const DAYS_OF_POSTS = `(
  SELECT post_uuid, CAST(date AS CHAR(10)) AS date, baseline,
         ${DAY_COLUMNS.map(column => (isTime(column) ? `CAST(${column} AS DATETIME) AS ${column}` : column)).join(', ')}
  FROM post_view_aggregates) AS days`

/**
 * Does not connect: the server may be away, now and later. While it is, every call fails with `StoreUnavailable`.
 *
 * @throws {StoreRefused} for a URL that cannot be used
 */
export async function openMysqlStore(
  url: string,
  asked: AskedSettings,
  { ipStorage, countries, rules = NEWEST_RULES, rankingBytes }: StoreOptions = {},
): Promise<Store> {
  const server = serverOf(url)
  const { database } = server
  const name = `the database ${database} on ${nameOf(server)}`
  const writer = new MysqlConnections(server, WRITE_CONNECTIONS, BATCH)
  const reader = new MysqlConnections(server, READ_CONNECTIONS, READ)
  const keeper = new MysqlConnection(server, HOUSEKEEPING)
  const recounter = new MysqlConnection(server, RECOUNT)
  const rankings = new Rankings(
    async () => ({ module: new URL('./ranking-source.ts', import.meta.url).href, options: server }),
    rankingBytes,
  )
  const own = settingsInUse(asked)
  const { settings } = own
  /** Connections that were opened for one piece of work each. */
  const passing = new Set<MysqlConnection>()
  const calendar = new Calendar(settings.timeZone, settings.windowHours, rules)

  const onOwnConnection = async <T>(
    options: ConnectionOptions,
    work: (client: MysqlClient) => Promise<T>,
  ): Promise<T> => {
    const connection = new MysqlConnection(server, options)
    passing.add(connection)
    try {
      return await connection.session(work)
    } finally {
      await connection.close()
      passing.delete(connection)
    }
  }

  const exclusiveOn =
    (connection: MysqlConnection | MysqlConnections): SqlEngine['exclusive'] =>
    work =>
      connection.transaction(async client => {
        const [state] = await client.all(`${SELECT_STATE} FOR UPDATE`)
        if (state === undefined) throw new StoreRefused(BEING_ADOPTED)
        return work(client, toState(state))
      })

  const ingest: SqlEngine = {
    calendar,
    ...own,
    reader,
    snapshot: work =>
      onOwnConnection(RECOUNT, async client => {
        await client.write('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ')
        await client.write('START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY')
        return work(client)
      }),
    exclusive: exclusiveOn(writer),
    schema: () => findSchema(recounter, database),
    toTime: toTimestamp,
    fromTime: fromTimestamp,
    serverClock: async () => Number((await reader.all('SELECT UNIX_TIMESTAMP() AS now'))[0]!['now']),
    aggregatesAreKeptBy: 'id',
    daysOfPosts: DAYS_OF_POSTS,
  }
  const housekeeping: SqlEngine = { ...ingest, reader: keeper, exclusive: exclusiveOn(keeper) }
  const recount: SqlEngine = { ...ingest, reader: recounter, exclusive: exclusiveOn(recounter) }

  return createSqlStore({
    engine: 'mysql',
    batching: { messagesPerEvent: 1 },
    isCutByClose: true,
    ingest,
    housekeeping,
    recount,
    rankings,
    ipStorage,
    countries,
    version: { engine: 'mysql', database, query: async sql => ({ rows: await reader.all(sql) }) },
    name,

    record: batch => recordViews(writer, batch),

    // All of it in one session: the lock ends with the session.
    makeTables: (progress, hosts) => {
      const who = new Who({ countries: countries ?? null, ownHosts: hosts ?? [] })
      return onOwnConnection(MIGRATION, client => migrate(client, database, ingest, who, progress))
    },

    // A read-only server refuses this, and no batch waits for it.
    async ping() {
      await writer.run('UPDATE post_view_progress SET id = id WHERE id = 1')
    },
    warnings: () => [],
    async close() {
      await Promise.all([rankings, writer, reader, keeper, recounter, ...passing].map(each => each.close()))
    },
  })
}
