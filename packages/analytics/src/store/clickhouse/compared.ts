/** Compares what is stored with what it follows from: the posts, days and values for which the two differ. */

import type { DimensionName } from '@postviews/client/src/figures.ts'
import { NO_VALUE, REMAINDER } from '../bounds.ts'
import { addDays, type Day } from '../days.ts'
import { differences } from '../differences.ts'
import type { Difference } from '../store.ts'
import { breakdownsOf, EACH_VALUE } from './breakdowns.ts'
import type { Shard } from './connection.ts'
import { dayIn, figuresOf, KNOWN, SAYS, type Sources, SUMS, SUMS_OF_DAY } from './count.ts'
import { SITE } from './sql.ts'

/** The figures of a table, in the order of its columns, as `verify` calls them. */
const FIELDS = ['view_count', ...KNOWN, 'first_viewed_at', 'last_viewed_at', 'unknown_until']
const TOTAL_FIELDS = ['views', ...FIELDS.slice(1)]
export const VALUE_FIELDS = ['view_count', 'bots']
/** The fields before it are sums. */
const FIRST_TIME = FIELDS.indexOf('first_viewed_at')

/** Figures of a shard, for some days or for all: as they should be, and as they are stored. */
interface Counted {
  fields: readonly string[]
  /** As SQL: `SELECT key, v`, an array of numbers for each `keyOf`; null: nobody knows it. */
  expected: string
  found: string
  /** @param post as text @param day where there is one */
  toldOf(post: string, day: Day, dimension: DimensionName, value: string): Told
}

/** How `verify` names what differs. */
type Told = Pick<Difference, 'kind' | 'name'>

/** The key of a figure: post or `SITE`, day, dimension and value. A part that it lacks is empty, and so are all that follow. */
export function keyOf(post: string, day: Day, dimension: DimensionName, value: string): string {
  return `${post}${day}${dimension} ${value}`
}

const DAY_AT = SITE.length
const DIMENSION_AT = DAY_AT + '2026-11-29'.length
export const postOfKey = (key: string) => key.slice(0, DAY_AT)
export const dayOfKey = (key: string): Day => key.slice(DAY_AT, DIMENSION_AT)

/** A key whose two values differ; an empty array means no value. */
export interface Differing extends Told, Pick<Counted, 'fields'> {
  key: string
  expected: (number | null)[]
  found: (number | null)[]
}

/** A number that one of the two does not know is no difference. */
export function isDifferent(expected: Differing['expected'], found: Differing['found']): boolean {
  return (
    expected.length !== found.length ||
    expected.some((value, nth) => value !== null && found[nth] !== null && value !== found[nth])
  )
}

/** As SQL: the same. */
const IS_DIFFERENT =
  'length(expected) != length(found) OR arrayExists((value, nth) -> value != found[nth], expected, arrayEnumerate(expected))'

/** As SQL: whether what is stored lacks a number that is known, because it was not counted then. */
const IS_LACKING =
  'arrayExists((value, nth) -> isNotNull(value) AND isNull(found[nth]), expected, arrayEnumerate(expected))'

/** The fields that what is stored lacks. */
export function lackingFields({ fields, expected, found }: Differing): readonly string[] {
  return fields.filter((_, nth) => found[nth] === null && typeof expected[nth] === 'number')
}

/** Times as Unix seconds, 0 for none. */
const VALUES = `[views, ${KNOWN.join(', ')},
  toUInt64(ifNull(toUnixTimestamp(first_viewed_at), 0)), toUInt64(ifNull(toUnixTimestamp(last_viewed_at), 0)),
  toUInt64(toRelativeDayNum(unknown_until))]`

const storedDays = (days: readonly Day[]) =>
  `SELECT * FROM post_view_days FINAL WHERE ${dayIn(days)} AND ${SAYS}`

export function postsOfDays(sources: Sources, days: readonly Day[]): Counted {
  const values = `SELECT concat(toString(post), toString(day)) AS key, ${VALUES} AS v`
  return {
    fields: FIELDS,
    expected: `${values} FROM (${figuresOf(sources, days)})`,
    found: `${values} FROM (${storedDays(days)})`,
    toldOf: (post, day) => ({ kind: 'aggregate', name: `post ${post} on ${day}` }),
  }
}

export function valuesOfPosts(sources: Sources, days: readonly Day[]): Counted {
  const eachValue = (source: string) =>
    `SELECT concat(toString(post), toString(day), dimension, ' ', value) AS key, [toNullable(n), n_bots] AS v FROM (${source}) ${EACH_VALUE}`
  return {
    fields: VALUE_FIELDS,
    expected: eachValue(breakdownsOf(sources, days)),
    found: eachValue(`SELECT * FROM post_view_breakdowns FINAL WHERE ${dayIn(days)}`),
    toldOf: (post, day, dimension, value) => toldOfValue(`post ${post} on ${day}`, dimension, value),
  }
}

export function toldOfValue(place: string, kind: DimensionName, value: string) {
  const names: Record<string, string> = { [NO_VALUE]: 'nowhere', [REMAINDER]: 'other hosts' }
  return { kind, name: `${place} from ${names[value] ?? value}` }
}

/** Sums of the stored figures of posts. */
export function siteOfDays(days: readonly Day[]): Counted {
  const values = `SELECT concat('${SITE}', toString(day)) AS key, ${VALUES} AS v`
  return {
    fields: FIELDS,
    expected: `${values} FROM (SELECT day, ${SUMS_OF_DAY} FROM (${storedDays(days)}) AS f GROUP BY day) WHERE ${SAYS}`,
    found: `${values} FROM post_view_site_days FINAL WHERE ${dayIn(days)} AND ${SAYS}`,
    toldOf: (_, day) => ({ kind: 'site_aggregate', name: `site on ${day}` }),
  }
}

/** Sums of the stored figures of days. */
export const TOTALS: Counted = {
  fields: TOTAL_FIELDS,
  expected: `SELECT toString(post) AS key, ${VALUES} AS v
    FROM (SELECT post, ${SUMS} FROM (SELECT * FROM post_view_days FINAL) AS f GROUP BY post) WHERE ${SAYS}`,
  found: `SELECT toString(post) AS key, ${VALUES} AS v FROM post_view_post_totals FINAL WHERE ${SAYS}`,
  toldOf: post => ({ kind: 'total', name: `post ${post}` }),
}

/** @param countsAnew whether numbers that were not counted when they should have been differ as well */
export async function differingIn(
  shard: Shard,
  { fields, expected, found, toldOf }: Counted,
  countsAnew = false,
): Promise<Differing[]> {
  const rows = await shard.all(
    `SELECT key, expected, found, if(n.name = '', toString(d.post), n.name) AS of
     FROM (
       SELECT key, toUUIDOrDefault(substring(key, 1, ${DAY_AT})) AS post,
              anyIf(v, side = 0) AS expected, anyIf(v, side = 1) AS found
       FROM (SELECT key, v, 0 AS side FROM (${expected}) UNION ALL SELECT key, v, 1 AS side FROM (${found}))
       GROUP BY key
       HAVING ${IS_DIFFERENT}${countsAnew ? ` OR ${IS_LACKING}` : ''}
     ) AS d
     LEFT ANY JOIN post_view_names AS n ON n.post = d.post
     ORDER BY key`,
  )
  const numbers = (values: unknown) =>
    (values as unknown[]).map(value => (value === null ? null : Number(value)))
  return rows.map(row => {
    const key = String(row['key'])
    const [dimension, ...value] = key.slice(DIMENSION_AT).split(' ')
    return {
      ...toldOf(String(row['of']), dayOfKey(key), dimension as DimensionName, value.join(' ')),
      fields,
      key,
      expected: numbers(row['expected']),
      found: numbers(row['found']),
    }
  })
}

/** A sum of wrong parts is wrong as well, and needs no correction of its own. `of`: which parts a sum has. */
export function corrected(
  sums: readonly Differing[],
  parts: readonly Differing[],
  of: (sum: Differing) => (part: Differing) => boolean,
) {
  return sums.flatMap(sum => {
    const wrong = parts.filter(of(sum))
    const expected = sum.fields.map((_, field) => {
      if (field >= FIRST_TIME) return wrong.length > 0 ? (sum.found[field] ?? 0) : (sum.expected[field] ?? 0)
      if (sum.expected[field] === null) return null
      const missing = wrong.reduce((total, { expected, found }) => {
        const isKnown = expected[field] !== null && found[field] !== null
        return isKnown ? total + (expected[field] ?? 0) - (found[field] ?? 0) : total
      }, 0)
      return (sum.expected[field] ?? 0) + missing
    })
    const isNothing = expected.every((value, field) => field >= FIRST_TIME || !value)
    const right = { ...sum, expected: isNothing ? [] : expected }
    return differencesOf(right).length + lackingFields(right).length === 0 ? [] : [right]
  })
}

export function differencesOf({ kind, name, fields, expected, found }: Differing): Difference[] {
  const isKnown = (nth: number) => expected[nth] !== null && found[nth] !== null
  const asFigures = (values: readonly (number | null)[]) =>
    values.length === 0
      ? null
      : Object.fromEntries(
          fields.flatMap((field, nth) => (isKnown(nth) ? [[field, figureOf(field, values[nth]!)]] : [])),
        )
  return differences(kind, name, asFigures(expected), asFigures(found))
}

function figureOf(field: string, value: number): number | string | null {
  if (field === 'unknown_until') return value === 0 ? null : addDays('1970-01-01', value)
  if (!field.endsWith('_at')) return value
  return value === 0 ? null : new Date(value * 1_000).toISOString().replace('.000Z', 'Z')
}
