/** Computes the breakdowns of a day from its raw rows. The values are not held in memory, however many there are. */

import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { DimensionName } from '@postviews/client/src/figures.ts'
import { SITE } from '../bounds.ts'
import type { Day } from '../days.ts'
import { DIMENSION_COLUMNS, KEPT_OF_DIMENSIONS, keptOf, valueIn } from '../dimensions.ts'
import type { Views } from '../pack.ts'
import { counted, rowsOfDay } from './recount.ts'
import type { SqlClient, SqlEngine, SqlRow, SqlValue, State } from './sql.ts'

const ROWS_AT_ONCE = 20_000

/** A row as it is counted in breakdowns. */
export interface CountedRow extends Views {
  post: string
  bots: number
  isPacked: boolean
  /** What the row keeps, in the order of `KEPT_OF_DIMENSIONS`; null: the row was kept before such values were. */
  kept: readonly (string | null)[]
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
  return {
    post: String(row['post_uuid']),
    views: Number(row['views']),
    bots: Number(row['bot']),
    isPacked: row['unpacked'] === null,
    kept: DIMENSION_COLUMNS.map(column => (row[column] === null ? null : String(row[column]))),
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
    post TEXT NOT NULL, kept TEXT NOT NULL, text TEXT NOT NULL, views INTEGER NOT NULL, bots INTEGER NOT NULL,
    PRIMARY KEY (post, kept, text)
  ) WITHOUT ROWID;
  BEGIN;`

const OF_PLACE = `
  SELECT value, SUM(views) AS views, SUM(bots) AS bots
  FROM (SELECT value_in(text, ?) AS value, views, bots FROM seen WHERE post = ? AND kept = ?)
  WHERE value IS NOT NULL
  GROUP BY value
  ORDER BY views DESC, value`

/** What the rows of places (posts and the site) keep, in a temporary SQLite database on disk. */
export class SeenValues {
  readonly #database = new DatabaseSync('')
  readonly #add: StatementSync

  constructor() {
    this.#database.exec(TABLE)
    this.#database.function('value_in', { deterministic: true }, (kept, name) =>
      valueIn(kept, name as DimensionName),
    )
    this.#add = this.#database.prepare(
      `INSERT INTO seen (post, kept, text, views, bots) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET views = views + excluded.views, bots = bots + excluded.bots`,
    )
  }

  /**
   * @param isAsked whether the row counts for its post
   * @param hasSite whether all rows count for the site as well
   */
  add(rows: readonly CountedRow[], isAsked: (row: CountedRow) => boolean, hasSite: boolean): void {
    const sums = new Map<string, Map<string, { views: number; bots: number }>[]>()
    const addTo = (place: string, { kept, views, bots }: CountedRow) => {
      let columns = sums.get(place)
      if (columns === undefined) {
        columns = kept.map(() => new Map())
        sums.set(place, columns)
      }
      for (const [at, text] of kept.entries()) {
        if (text === null) continue
        const sum = columns[at]!.get(text)
        if (sum === undefined) {
          columns[at]!.set(text, { views, bots })
        } else {
          sum.views += views
          sum.bots += bots
        }
      }
    }
    for (const row of rows) {
      if (isAsked(row)) addTo(row.post, row)
      if (hasSite) addTo(SITE, row)
    }
    for (const [place, columns] of sums) {
      for (const [at, texts] of columns.entries()) {
        for (const [text, { views, bots }] of texts) {
          this.#add.run(place, KEPT_OF_DIMENSIONS[at]!, text, views, bots)
        }
      }
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
    // A statement of its own, because the caller may read another dimension meanwhile.
    for (const row of this.#database.prepare(OF_PLACE).iterate(name, place, keptOf(name))) {
      yield [String(row['value']), { views: Number(row['views']), bots: Number(row['bots']) }]
    }
  }

  close(): void {
    this.#database.close()
  }
}
