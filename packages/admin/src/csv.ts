/** Lines of CSV (RFC 4180), for spreadsheets: plain numbers; unknown is empty. */

import { FIGURE_NAMES } from '@postviews/client/src/figures.ts'
import type { DayFigures, OtherPosts, PostRow, ReferrerRow, Trend } from './pages/model.ts'

type Cell = string | number | null

// A spreadsheet runs a cell with such a beginning as a formula, and anybody can write a title or a host. If its list
// separator is a semicolon, a cell begins at every semicolon and line break: quotes within a cell do not count then.
const FORMULAS = /(^|[;|\t\r\n])(?=["\s]*[=+\-@\t\r＝＋－＠])/g

/** Marks a day that was not over when the file was made, because the file outlives it. */
export function daysCsv({ days, daysBefore, today }: Pick<Trend, 'days' | 'daysBefore' | 'today'>): string {
  const columns = ['date', ...FIGURE_NAMES, 'is_whole_day']
  const cells = (day: DayFigures): Cell[] => [
    day.date,
    ...FIGURE_NAMES.map(name => day[name]),
    day.date < today ? 'yes' : 'no',
  ]
  if (daysBefore === null) return toCsv([columns, ...days.map(cells)])
  return toCsv([
    [...columns, ...columns.map(column => `${column}_before`)],
    ...days.map((day, index) => [...cells(day), ...cells(daysBefore[index]!)]),
  ])
}

export const POSTS_HEAD = toCsv([['id', 'title', 'author', 'views', 'unique_views']])

export function postsCsv(posts: readonly Pick<PostRow, 'id' | 'name' | 'views' | 'unique_views'>[]): string {
  return toCsv(
    posts.map(({ id, name, views, unique_views }) => [
      id,
      name?.title ?? null,
      name?.author ?? null,
      views,
      unique_views,
    ]),
  )
}

/** The posts that the lines above leave out. Their id is empty, as no post's is. */
export function otherPostsCsv({ posts, views, unique_views }: OtherPosts): string {
  const title =
    posts === 0 ? 'views while this file was made' : `${posts} other post${posts === 1 ? '' : 's'}`
  return toCsv([[null, title, null, views, unique_views]])
}

export const REFERRERS_HEAD = toCsv([['host', 'views']])

export function referrersCsv(referrers: readonly ReferrerRow[]): string {
  return toCsv(referrers.map(row => [nameOf(row), row.views]))
}

function nameOf({ kind, host }: ReferrerRow): string | null {
  if (kind === 'host' || kind === 'direct') return host
  if (kind === 'internal') return "this site's own pages"
  return kind === 'unknown' ? 'not recorded' : 'other hosts'
}

function toCsv(rows: readonly (readonly Cell[])[]): string {
  return rows.map(row => `${row.map(toCell).join(',')}\r\n`).join('')
}

function toCell(cell: Cell): string {
  if (cell === null) return ''
  if (typeof cell === 'number') return String(cell)
  const text = cell.replace(FORMULAS, "$1'")
  return /[",\r\n]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text
}
