/** Lines of CSV (RFC 4180), for spreadsheets: plain numbers; unknown is empty. */

import { type DimensionName, FIGURE_NAMES } from '@postviews/client/src/figures.ts'
import { type StatsZone, zoneMinute } from '@postviews/client/src/zone-time.ts'
import type {
  ChosenDays,
  DayFigures,
  HourViews,
  OtherPosts,
  PostRow,
  Trend,
  ValueRow,
} from './pages/model.ts'

type Cell = string | number | null

// A spreadsheet runs a cell with such a beginning as a formula, and anybody can write a title or a host. If its list
// separator is a semicolon, a cell begins at every semicolon and line break: quotes within a cell do not count then.
const FORMULAS = /(^|[;|\t\r\n])(?=["\s]*[=+\-@\t\r＝＋－＠])/g

/** Marks a day that was not over when the file was made, because the file outlives it. */
export function hoursCsv(
  { hours, hoursBefore }: Pick<Trend, 'hours' | 'hoursBefore'>,
  zone: StatsZone,
): string {
  const cells = ({ start, views }: HourViews): Cell[] => [start, zoneMinute(start, zone), views]
  const columns = ['start', 'local_time', 'views']
  const isCompared = hoursBefore !== null
  return toCsv([
    [...columns, ...(isCompared ? columns.map(column => `${column}_before`) : [])],
    ...(hours ?? []).map((hour, index) => [
      ...cells(hour),
      ...(isCompared ? cells(hoursBefore[index]!) : []),
    ]),
  ])
}

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

/** The days of one value. */
export function chosenCsv({ days }: ChosenDays): string {
  return toCsv([['date', 'views'], ...days.map(({ date, views }) => [date, views])])
}

/** @param hasChange also the change against as many days before, where the list is sorted by it */
export function postsHead(hasChange: boolean): string {
  return toCsv([['id', 'title', 'author', 'views', 'unique_views', ...(hasChange ? ['change'] : [])]])
}

export function postsCsv(posts: readonly Omit<PostRow, 'rank' | 'spark'>[], hasChange: boolean): string {
  return toCsv(
    posts.map(({ id, name, views, unique_views, change }) => [
      id,
      name?.title ?? null,
      name?.author ?? null,
      views,
      unique_views,
      ...(hasChange ? [change] : []),
    ]),
  )
}

/** The posts that the lines above leave out. Their id is empty, as no post's is. */
export function otherPostsCsv({ posts, views, unique_views }: OtherPosts): string {
  const title =
    posts === 0 ? 'views while this file was made' : `${posts} other post${posts === 1 ? '' : 's'}`
  return toCsv([[null, title, null, views, unique_views]])
}

export function valuesHead(dimension: DimensionName): string {
  return toCsv([[dimension, 'views']])
}

export function valuesCsv(rows: readonly ValueRow[]): string {
  return toCsv(rows.map(row => [nameOf(row), row.views]))
}

/** Without a value the cell is empty, as no value is. */
function nameOf({ kind, value }: ValueRow): string | null {
  if (kind === 'value' || kind === 'none') return value
  if (kind === 'internal') return "this site's own pages"
  return kind === 'unknown' ? 'not recorded' : 'others'
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
