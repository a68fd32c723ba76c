/** Computes the breakdowns of a day from its raw rows. The values are not held in memory, however many there are. */

import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { DIMENSION_NAMES, type DimensionName } from '@postviews/client/src/figures.ts'
import { SITE } from '../bounds.ts'
import type { Day } from '../days.ts'
import { asValue, columnOf, DIMENSION_COLUMNS } from '../dimensions.ts'
import type { Views } from '../pack.ts'
import { counted, rowsOfDay } from './recount.ts'
import type { SqlClient, SqlEngine, SqlRow, SqlValue, State } from './sql.ts'

const ROWS_AT_ONCE = 20_000

/** A row as it is counted in breakdowns. */
export interface CountedRow extends Views {
  post: string
  bots: number
  isPacked: boolean
  values: Record<DimensionName, string>
}

/** @param unknown the result of `unknownPosts`: adopted rows of these posts are not counted */
export async function* rowsOfBreakdowns(
  engine: SqlEngine,
  client: SqlClient,
  day: Day,
  { unknown, last = Number.MAX_SAFE_INTEGER }: { unknown: ReadonlySet<string>; last?: number },
): AsyncGenerator<CountedRow[]> {
  const [from, until] = rowsOfDay(engine, day).values as [SqlValue, SqlValue]
  let [start, first] = ['viewed_at >= ?', from]
  for (;;) {
    const [edge] = await client.all(
      `SELECT viewed_at FROM post_views
       WHERE ${start} AND viewed_at < ?
       ORDER BY viewed_at
       LIMIT 1 OFFSET ${ROWS_AT_ONCE}`,
      [first, until],
    )
    const [end, through] =
      edge === undefined ? ['viewed_at < ?', until] : ['viewed_at <= ?', edge['viewed_at'] as SqlValue]
    const rows = await client.all(
      `${select(engine, client)}
       WHERE ${start} AND ${end} AND post_views.id <= ? AND day = ?`,
      [first, through, last, day],
    )
    yield rows
      .filter(row => Number(row['is_adopted']) === 0 || !unknown.has(String(row['post_uuid'])))
      .map(toCountedRow)
    if (edge === undefined) return
    ;[start, first] = ['viewed_at > ?', through]
  }
}

/** Rows of the day with ids greater than the first, up to the last. None of them is adopted: adopted rows are older. */
export async function rowsOfIds(
  engine: SqlEngine,
  client: SqlClient,
  day: Day,
  [after, last]: readonly [number, number],
): Promise<CountedRow[]> {
  const rows = await client.all(
    `${select(engine, client)} WHERE post_views.id > ? AND post_views.id <= ? AND day = ? AND received_at IS NOT NULL`,
    [after, last, day],
  )
  return rows.map(toCountedRow)
}

function select(engine: SqlEngine, { dialect }: SqlClient): string {
  return `
    SELECT post_views.post_uuid AS post_uuid, ${counted(engine)} AS views, bot, ${DIMENSION_COLUMNS.join(', ')},
           unpacked.id AS unpacked, received_at IS NULL AS is_adopted
    FROM post_views
    LEFT JOIN post_view_unpacked AS unpacked
      ON unpacked.${dialect.post} = post_views.${dialect.post} AND unpacked.id = post_views.id`
}

function toCountedRow(row: SqlRow): CountedRow {
  const values = Object.fromEntries(DIMENSION_NAMES.map(name => [name, asValue(row[columnOf(name)])]))
  return {
    post: String(row['post_uuid']),
    views: Number(row['views']),
    bots: Number(row['bot']),
    isPacked: row['unpacked'] === null,
    values: values as Record<DimensionName, string>,
  }
}

/** Posts whose adopted rows do not explain the day's adopted views. Only what was counted since adoption has values for them. */
export async function unknownPosts(
  engine: SqlEngine,
  client: SqlClient,
  { adoptedAt }: Pick<State, 'adoptedAt'>,
  day: Day,
): Promise<ReadonlySet<string>> {
  // Without an adoption there are none, so there is no need to read all rows.
  if (adoptedAt === null) return new Set()
  const { where, values } = rowsOfDay(engine, day)
  const rows = await client.all(
    `SELECT post_uuid
     FROM (
       SELECT post_uuid, 0 AS baseline, COUNT(*) AS adopted_rows
       FROM post_views WHERE ${where} AND received_at IS NULL GROUP BY post_uuid
       UNION ALL
       SELECT post_uuid, baseline, 0 FROM post_view_aggregates WHERE date = ? AND baseline <> 0
     ) AS adopted
     GROUP BY post_uuid
     HAVING SUM(baseline) <> SUM(adopted_rows)`,
    [...values, day],
  )
  return new Set(rows.map(({ post_uuid }) => String(post_uuid)))
}

// No journal and no sync: nobody else reads this database, and nobody needs it after a crash.
const TABLE = `
  PRAGMA journal_mode = OFF;
  PRAGMA synchronous = OFF;
  PRAGMA cache_size = -65536;
  CREATE TABLE seen (
    post TEXT NOT NULL, dimension TEXT NOT NULL, value TEXT NOT NULL, views INTEGER NOT NULL, bots INTEGER NOT NULL,
    PRIMARY KEY (post, dimension, value)
  ) WITHOUT ROWID;
  BEGIN;`

/** The values of places (posts and the site), in a temporary SQLite database on disk. */
export class SeenValues {
  readonly #database = new DatabaseSync('')
  readonly #add: StatementSync

  constructor() {
    this.#database.exec(TABLE)
    this.#add = this.#database.prepare(
      `INSERT INTO seen (post, dimension, value, views, bots) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET views = views + excluded.views, bots = bots + excluded.bots`,
    )
  }

  /**
   * @param isAsked whether the row counts for its post
   * @param hasSite whether all rows count for the site as well
   */
  add(rows: readonly CountedRow[], isAsked: (row: CountedRow) => boolean, hasSite: boolean): void {
    const site = new Map<DimensionName, Map<string, { views: number; bots: number }>>()
    for (const row of rows) {
      const { post, views, bots, values } = row
      for (const name of DIMENSION_NAMES) {
        const value = values[name]
        if (isAsked(row)) this.#add.run(post, name, value, views, bots)
        if (!hasSite) continue
        let ofSite = site.get(name)
        if (ofSite === undefined) {
          ofSite = new Map()
          site.set(name, ofSite)
        }
        const before = ofSite.get(value)
        if (before === undefined) {
          ofSite.set(value, { views, bots })
        } else {
          before.views += views
          before.bots += bots
        }
      }
    }
    for (const [name, ofSite] of site) {
      for (const [value, { views, bots }] of ofSite) this.#add.run(SITE, name, value, views, bots)
    }
  }

  /** Every place that has values, in the order of posts. */
  *places(): Generator<string> {
    for (const { post } of this.#database.prepare('SELECT DISTINCT post FROM seen ORDER BY post').iterate()) {
      yield String(post)
    }
  }

  /** Most views first, then by value. */
  *of(place: string, name: DimensionName): Generator<[string, Views]> {
    const rows = this.#database
      .prepare(
        'SELECT value, views, bots FROM seen WHERE post = ? AND dimension = ? ORDER BY views DESC, value',
      )
      .iterate(place, name)
    for (const row of rows) {
      yield [String(row['value']), { views: Number(row['views']), bots: Number(row['bots']) }]
    }
  }

  close(): void {
    this.#database.close()
  }
}
