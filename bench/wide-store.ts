/** A store with very many posts: only its counters are filled, to measure reads of them. */

import type { Bench } from './bench.ts'
import type { BenchDatabase } from './databases.ts'
import { postUuids } from './events.ts'
import { postviews } from './processes.ts'

export const WIDE_DAYS = 30
/** Each post has views on one day in this many. */
export const VIEWED_EVERY = 5
const ROWS_AT_ONCE = 5_000
const DAY_MS = 86_400_000

/** `count` days, the last one today (UTC). */
export function lastDays(count: number): string[] {
  return Array.from({ length: count }, (_, index) =>
    new Date(Date.now() - (count - 1 - index) * DAY_MS).toISOString().slice(0, 10),
  )
}

/** Each post has views on every fifth day, a few of them many. Today readers come from `hosts` hosts. */
export async function fillWide(
  bench: Bench,
  database: BenchDatabase,
  { posts, hosts }: { posts: number; hosts: number },
): Promise<void> {
  await postviews(
    { amqpUrl: 'amqp://127.0.0.1:1', databaseUrl: database.url, folder: bench.folder },
    'migrate',
  )
  const days = lastDays(WIDE_DAYS)
  const ids = postUuids(Math.max(posts, hosts))
  await database.query(
    'CREATE TABLE bench_posts (n integer PRIMARY KEY, id char(36) NOT NULL, views integer NOT NULL, host varchar(64) NOT NULL)',
    'BEGIN',
    ...insertsOf(ids, posts),
    'COMMIT',
  )
  for (const [index, day] of days.entries()) {
    bench.progress('fill', index, days.length)
    await database.query(
      `INSERT INTO post_view_aggregates (date, post_uuid, view_count, unique_views, logged_in, bots)
       SELECT '${day}', id, views, views, 0, 0 FROM bench_posts
       WHERE n < ${posts} AND (n + ${index}) % ${VIEWED_EVERY} = 0`,
    )
  }
  bench.progress('fill', days.length, days.length)
  await database.query(
    `INSERT INTO post_view_totals (post_uuid, views, detailed_views, unique_views, logged_in, bots)
     SELECT post_uuid, SUM(view_count), SUM(view_count), SUM(unique_views), 0, 0
     FROM post_view_aggregates GROUP BY post_uuid`,
    `INSERT INTO site_view_aggregates (date, view_count, unique_views, logged_in, bots)
     SELECT date, SUM(view_count), SUM(unique_views), 0, 0 FROM post_view_aggregates GROUP BY date`,
    `INSERT INTO post_view_breakdowns (date, post_uuid, counts)
     SELECT '${days.at(-1)}', '', '{"referrer":{"values":' || json_group_object(host, views) || '}}'
     FROM bench_posts WHERE n < ${hosts}`,
    'DROP TABLE bench_posts',
  )
}

function* insertsOf(ids: readonly string[], posts: number): Generator<string> {
  for (let first = 0; first < ids.length; first += ROWS_AT_ONCE) {
    const rows = ids
      .slice(first, first + ROWS_AT_ONCE)
      .map((id, index) => [first + index, id] as const)
      .map(
        ([n, id]) => `(${n},'${id}',${1 + Math.floor(posts / (10 * (n + 1)))},'${id.slice(0, 13)}.example')`,
      )
    yield `INSERT INTO bench_posts VALUES ${rows.join()}`
  }
}
