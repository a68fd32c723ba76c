/** Tables as CSV (RFC 4180), for spreadsheets: what a page shows, with plain numbers; unknown is empty. */

import type { DayFigures, PostRow, Referrer, Trend } from './pages/model.ts'

type Cell = string | number | null

export function daysCsv({ days, daysBefore }: Pick<Trend, 'days' | 'daysBefore'>): string {
  const columns = ['date', 'views', 'unique_views', 'logged_in', 'anonymous', 'bots']
  const cells = ({ date, views, unique_views, logged_in, anonymous, bots }: DayFigures): Cell[] => [
    date,
    views,
    unique_views,
    logged_in,
    anonymous,
    bots,
  ]
  if (daysBefore === null) return toCsv([columns, ...days.map(cells)])
  return toCsv([
    [...columns, ...columns.map(column => `${column}_before`)],
    ...days.map((day, index) => [...cells(day), ...cells(daysBefore[index]!)]),
  ])
}

export function postsCsv(posts: readonly PostRow[]): string {
  return toCsv([
    ['id', 'title', 'author', 'views', 'unique_views'],
    ...posts.map(({ id, name, views, unique_views }) => [
      id,
      name?.title ?? null,
      name?.author ?? null,
      views,
      unique_views,
    ]),
  ])
}

export function referrersCsv(referrers: readonly Referrer[]): string {
  return toCsv([
    ['host', 'views'],
    ...referrers.map(({ host, views, internal }) => [internal ? "this site's own pages" : host, views]),
  ])
}

function toCsv(rows: readonly (readonly Cell[])[]): string {
  return rows.map(row => `${row.map(toCell).join(',')}\r\n`).join('')
}

// A spreadsheet runs a cell that begins so as a formula, and texts come from anybody: a title, a host. Where the list
// separator is a semicolon it begins a cell at every semicolon, and at every line break, for quotes within a cell mean
// nothing to it.
const FORMULAS = /(^|[;|\t\r\n])(?=["\s]*[=+\-@\t\r＝＋－＠])/g

function toCell(cell: Cell): string {
  if (cell === null) return ''
  if (typeof cell === 'number') return String(cell)
  const text = cell.replace(FORMULAS, "$1'")
  return /[",\r\n]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text
}
