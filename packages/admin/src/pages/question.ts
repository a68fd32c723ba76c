/** What a page is asked to show. All of it is in the address, so that a link shows the same. */

/** `YYYY-MM-DD`, a day as Analytics counts them. */
export type Day = string

/** Each ends today. */
export const PERIODS = {
  today: { days: 1, name: 'Today' },
  '7d': { days: 7, name: '7 days' },
  '30d': { days: 30, name: '30 days' },
  '90d': { days: 90, name: '90 days' },
  '365d': { days: 365, name: '365 days' },
} as const

export type PeriodName = keyof typeof PERIODS

export interface DayRange {
  from: Day
  to: Day
}

export interface Question {
  period: PeriodName | DayRange
  /** Whether the chart and the table show the period before, too. */
  compare: boolean
  /** A part of a title or id; empty for all posts. */
  search: string
  /** From 1. */
  page: number
  /** Why the period is not the one that the address asks for. */
  problem: string | null
}

export const MAX_PERIOD_DAYS = 800
const DEFAULT_PERIOD: PeriodName = '30d'
const MAX_SEARCH_CHARACTERS = 200
const MAX_PAGE = 100_000

type Parameters = Record<string, string | string[] | undefined>

/** Reads any address: what is missing or wrong in it has its default. */
export function readQuestion(query: Parameters): Question {
  const text = (name: string) => [query[name]].flat()[0]?.trim() ?? ''
  const page = Number(text('page'))
  const name = text('period')
  const own = ownPeriod(text('from'), text('to'))
  const period = own.period ?? (isPeriodName(name) ? name : DEFAULT_PERIOD)
  return {
    period,
    compare: text('compare') === '1',
    search: text('q').slice(0, MAX_SEARCH_CHARACTERS),
    page: Number.isInteger(page) && page >= 1 && page <= MAX_PAGE ? page : 1,
    problem: own.problem,
  }
}

function isPeriodName(name: string): name is PeriodName {
  return Object.hasOwn(PERIODS, name)
}

function ownPeriod(from: string, to: string): { period: DayRange | null; problem: string | null } {
  if (from === '' && to === '') return { period: null, problem: null }
  const problem = ownPeriodProblem(from, to)
  return problem === null ? { period: { from, to }, problem } : { period: null, problem }
}

function ownPeriodProblem(from: string, to: string): string | null {
  if (!isDay(from) || !isDay(to)) return 'A custom period needs a first and a last day.'
  if (from > to) return 'The first day cannot be after the last day.'
  if (daysBetween(from, to) >= MAX_PERIOD_DAYS) return `A period has at most ${MAX_PERIOD_DAYS} days.`
  return null
}

/** An address with this question; defaults are left out. */
export function toAddress(path: string, { period, compare, search, page }: Question): string {
  const query = new URLSearchParams()
  if (typeof period !== 'string') {
    query.set('from', period.from)
    query.set('to', period.to)
  } else if (period !== DEFAULT_PERIOD) query.set('period', period)
  if (compare) query.set('compare', '1')
  if (search !== '') query.set('q', search)
  if (page > 1) query.set('page', String(page))
  return query.size === 0 ? path : `${path}?${query}`
}

// A date has no zone: in UTC all days have the same length.
const DAY_MS = 86_400_000

export function addDays(day: Day, count: number): Day {
  return new Date(Date.parse(day) + count * DAY_MS).toISOString().slice(0, 10)
}

/** How many days `to` lies after `from`; 0 for the same day. */
export function daysBetween(from: Day, to: Day): number {
  return (Date.parse(to) - Date.parse(from)) / DAY_MS
}

/** Whether the text is a day that exists, in the years that Analytics takes. */
export function isDay(text: string): boolean {
  if (!/^(19[7-9]|20\d)\d-\d{2}-\d{2}$/.test(text) || Number.isNaN(Date.parse(text))) return false
  // February has no 30th: Date makes it a day of March.
  return addDays(text, 0) === text
}
