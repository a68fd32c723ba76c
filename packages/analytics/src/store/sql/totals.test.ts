import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { insertTotals } from './totals.ts'

const SCHEMA = readFileSync(new URL('../sqlite/schema.sql', import.meta.url), 'utf8')

/** The total of a post with these days: views, unique views, logged in. */
function totalOf(days: [number, number | null, number | null][]) {
  using database = new DatabaseSync(':memory:')
  database.exec(SCHEMA)
  const insert = database.prepare(
    'INSERT INTO post_view_aggregates (post_uuid, date, view_count, unique_views, logged_in, bots) VALUES (?, ?, ?, ?, ?, ?)',
  )
  for (const [index, day] of days.entries())
    insert.run('42', `2026-03-1${index}`, ...day, day[1] === null ? null : 0)
  database.prepare(insertTotals('1 = 1', 'post_view_aggregates')).run()
  const { views, detailed_views, unique_views, logged_in, bots } = database
    .prepare('SELECT * FROM post_view_totals')
    .get()!
  return { views, detailed_views, unique_views, logged_in, bots }
}

test('days that adopted rows leave unknown are left out of the sums of details', () => {
  assert.deepEqual(
    totalOf([
      [5, null, null],
      [3, 2, 1],
      [4, 3, 2],
    ]),
    { views: 12, detailed_views: 7, unique_views: 5, logged_in: 3, bots: 0 },
  )
})

test('the sum of a figure that one of the days does not know is unknown', () => {
  assert.deepEqual(
    totalOf([
      [5, 2, null],
      [3, 2, 1],
    ]),
    { views: 8, detailed_views: 8, unique_views: 4, logged_in: null, bots: 0 },
  )
})
