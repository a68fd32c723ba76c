/** What a page is asked to show. All of it is in the address, so that a link shows the same. */

import type { DimensionName } from '@postviews/client/src/figures.ts'

/** `YYYY-MM-DD`, a day as Analytics counts them. */
export type Day = string

/** In the order of the controls. The last days of each `days` end today; the others are declared in `trend.ts`. */
export const PERIODS = {
  today: 'Today',
  '7d': '7 days',
  '30d': '30 days',
  '90d': '90 days',
  '365d': '365 days',
  yesterday: 'Yesterday',
  month: 'This month',
  'last-month': 'Last month',
  year: 'This year',
  all: 'All time',
} as const

export type PeriodName = keyof typeof PERIODS

export interface DayRange {
  from: Day
  to: Day
}

/** Whose views are shown: as Analytics names them. */
export const WHO = { people: 'People', all: 'All', bots: 'Machines' } as const
export type Who = keyof typeof WHO

/** What a period is compared with, in the chart and in the figures. */
export type Compared = 'previous' | 'year' | null

/** What the list of posts is sorted by. */
export const SORTS = ['views', 'unique_views', 'change'] as const
export type Sort = (typeof SORTS)[number]

/** The lists that share a card: the first is shown if nothing else is asked for. */
export const CARDS = {
  sources: ['channel', 'source', 'referrer', 'campaign'],
  places: ['country'],
  devices: ['device', 'browser', 'os'],
  machines: ['bot'],
  purposes: ['purpose'],
} as const satisfies Record<string, readonly DimensionName[]>
export type CardName = keyof typeof CARDS

/** Names and purposes are those of machines: people have none. */
export function isOfMachines(dimension: DimensionName): boolean {
  return dimension === 'bot' || dimension === 'purpose'
}

/** One value of a list, whose days are shown instead of all. */
export interface Chosen {
  dimension: DimensionName
  /** Null: the views that have no value. */
  value: string | null
}

export interface Question {
  period: PeriodName | DayRange
  who: Who
  compare: Compared
  /** Whether a short period is shown by the hour. */
  hours: boolean
  chosen: Chosen | null
  /** The list of each card that is shown, if it is not the first. */
  lists: Partial<Record<CardName, DimensionName>>
  sort: Sort
  order: 'desc' | 'asc'
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
const MAX_VALUE_CHARACTERS = 300
const MAX_PAGE = 100_000

type Parameters = Record<string, string | string[] | undefined>

/** Reads any address: what is missing or wrong in it has its default. */
export function readQuestion(query: Parameters): Question {
  const given = (name: string) => [query[name]].flat()[0]
  const text = (name: string) => given(name)?.trim() ?? ''
  const page = Number(text('page'))
  const name = text('period')
  const own = ownPeriod(text('from'), text('to'))
  const compare = text('compare')
  return {
    period: own.period ?? (isNameIn(PERIODS, name) ? name : DEFAULT_PERIOD),
    who: isNameIn(WHO, text('who')) ? (text('who') as Who) : 'people',
    compare: compare === '1' ? 'previous' : compare === 'year' ? 'year' : null,
    hours: text('hours') === '1',
    chosen: chosenIn(text('by'), given('value')),
    lists: listsIn(text),
    sort: SORTS.find(sort => sort === text('sort')) ?? 'views',
    order: text('order') === 'asc' ? 'asc' : 'desc',
    search: text('q').slice(0, MAX_SEARCH_CHARACTERS),
    page: Number.isInteger(page) && page >= 1 && page <= MAX_PAGE ? page : 1,
    problem: own.problem,
  }
}

function isNameIn<Names extends object>(names: Names, text: string): text is keyof Names & string {
  return Object.hasOwn(names, text)
}

const LISTED: readonly string[] = Object.values(CARDS).flat()

/** Whether the values of this dimension are a list of the panel. */
export function isListed(text: string): text is DimensionName {
  return LISTED.includes(text)
}

function chosenIn(dimension: string, value: string | undefined): Chosen | null {
  if (!isListed(dimension)) return null
  return { dimension, value: value?.slice(0, MAX_VALUE_CHARACTERS) ?? null }
}

function listsIn(text: (name: string) => string): Question['lists'] {
  const lists: Question['lists'] = {}
  for (const [card, names] of Object.entries(CARDS) as [CardName, readonly DimensionName[]][]) {
    const asked = names.find(name => name === text(card))
    if (asked !== undefined && asked !== names[0]) lists[card] = asked
  }
  return lists
}

/** The list that a card shows. */
export function listOf({ lists }: Question, card: CardName): DimensionName {
  return lists[card] ?? CARDS[card][0]
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

/** The parameters of an address with this question; defaults are left out. */
export function toParameters(question: Question): [name: string, value: string][] {
  const { period, who, compare, hours, chosen, lists, sort, order, search, page } = question
  const given: [string, string | false | null | undefined][] = [
    ...(typeof period === 'string'
      ? [['period', period !== DEFAULT_PERIOD && period] as [string, string | false]]
      : [['from', period.from] as [string, string], ['to', period.to] as [string, string]]),
    ['who', who !== 'people' && who],
    ['compare', compare === 'previous' ? '1' : compare],
    ['hours', hours && '1'],
    ['by', chosen?.dimension],
    // An empty value is one, too.
    ['value', chosen?.value],
    ...Object.entries(lists),
    ['sort', sort !== 'views' && sort],
    ['order', order !== 'desc' && order],
    ['q', search !== '' && search],
    ['page', page > 1 && String(page)],
  ]
  return given.filter((pair): pair is [string, string] => typeof pair[1] === 'string')
}

/** An address with this question. */
export function toAddress(path: string, question: Question): string {
  const query = new URLSearchParams(toParameters(question))
  return query.size === 0 ? path : `${path}?${query}`
}

/** The question of another page for the same days and the same views. */
export function onPage(question: Question): Question {
  return { ...question, chosen: null, lists: {}, sort: 'views', order: 'desc', search: '', page: 1 }
}

// A date has no zone: in UTC all days have the same length.
const DAY_MS = 86_400_000

export function addDays(day: Day, count: number): Day {
  return new Date(Date.parse(day) + count * DAY_MS).toISOString().slice(0, 10)
}

/** The same day a year before; 28 February for the 29th. */
export function yearBefore(day: Day): Day {
  const before = `${Number(day.slice(0, 4)) - 1}${day.slice(4)}`
  return isDay(before) ? before : addDays(`${before.slice(0, 8)}28`, 0)
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
