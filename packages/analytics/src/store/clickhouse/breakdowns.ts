/**
 * How views are broken down, as SQL. A row says where it belongs in a few texts, and the same texts come again and again: so rows
 * are counted by their texts first, and the texts are taken apart afterwards.
 */

import { DIMENSION_NAMES, type DimensionName } from '@postviews/client/src/figures.ts'
import { SEPARATOR } from '../../derive/who.ts'
import { KEPT_OF_POST, NO_VALUE, REMAINDER } from '../bounds.ts'
import type { Day } from '../days.ts'
import { columnOf, DIMENSION_COLUMNS, fieldOf, isOfBots } from '../dimensions.ts'
import { basesOf, eachDay, hasBases, rowsOf, type Sources } from './count.ts'
import { UNEXPLAINED } from './row.ts'
import { quoted, SITE } from './sql.ts'

/** The columns that keep the breakdowns of a day: for each value an element in each of them. */
export const COUNTS = 'dimensions, values, value_views, value_bots'

/** As SQL: a row for each value that these columns have. */
export const EACH_VALUE =
  'ARRAY JOIN dimensions AS dimension, values AS value, value_views AS n, value_bots AS n_bots'

/** As SQL: whether a row of `post_view_rows` is counted in breakdowns, and what it adds to its values. */
export const IS_COUNTED = `counts != ${UNEXPLAINED}`
export const ADDS = `toUInt64(counts = 1) AS n, toUInt64(bot) AS n_bots, ${DIMENSION_COLUMNS.join(', ')}`

/** Stands for all views, whatever their value. They are not kept: every view has a host or none, so these add up to all. */
export const ALL = ''
const ADDS_UP: DimensionName = 'referrer'

/** As SQL, from `c.n_bots`: a sum, null if a part of it is unknown. */
export const SUM_OF_BOTS = 'if(max(c.n_bots IS NULL), NULL, sum(c.n_bots))'

/**
 * `SELECT post, day, dimension, value, n, n_bots`, several times for a value.
 *
 * @param rows `SELECT post, day` and `ADDS`
 * @param names which dimensions; with `ALL`, only one
 */
export function valuesOfRows(rows: string, names: readonly (DimensionName | typeof ALL)[]): string {
  const dimensions = names.filter(name => name !== ALL)
  const texts = [...Map.groupBy(dimensions, columnOf)].map(([column, of], nth) => ({
    text: `(${nth}, toString(${column}))`,
    values: `[${of.map(name => `('${name}', ${valueIn(name)})`).join(', ')}]`,
  }))
  const apart = texts.map(({ values }, nth) => `of = ${nth}, ${values}`).join(', ')
  const all = dimensions.length < names.length ? `[('${ALL}', '')]` : '[]'
  const ofBots = dimensions.filter(isOfBots)
  return `SELECT post, day, told.1 AS dimension, told.2 AS value, n, n_bots
    FROM (
      SELECT post, day, kept.1 AS of, kept.2 AS kept_text, ifNull(kept_text, '') AS text, sum(r.n) AS n, sum(r.n_bots) AS n_bots
      FROM (${rows}) AS r ARRAY JOIN [${texts.map(({ text }) => text).join(', ')}] AS kept
      GROUP BY post, day, of, kept_text
    )
    ARRAY JOIN arrayConcat(${all}, if(kept_text IS NULL, [], multiIf(${apart}, []))) AS told
    WHERE NOT (value = '${NO_VALUE}' AND dimension IN (${quoted(ofBots.length > 0 ? ofBots : ['none'])}))`
}

/** As SQL: the value of a dimension in `text`. */
function valueIn(name: DimensionName): string {
  const field = fieldOf(name)
  // Arrays begin with 1, and the first field is the version.
  return field === undefined ? 'text' : `splitByChar('${SEPARATOR}', text)[${field + 2}]`
}

export interface Asked {
  /** Of each post, or of the whole site, which is `SITE`. */
  of?: 'post' | 'site'
  /** As SQL: which posts, and which rows of these. */
  posts?: string
  rows?: string
  names?: readonly (DimensionName | typeof ALL)[]
}

/** `SELECT post, day, dimension, value, n, n_bots`, on this shard. */
export function valuesOf(
  sources: Sources,
  days: readonly Day[],
  { of = 'post', posts = 'true', rows = 'true', names = DIMENSION_NAMES }: Asked = {},
): string {
  const post = of === 'site' ? `toUUID('${SITE}') AS post` : 'post'
  const found = rowsOf(sources, days, `${posts} AND ${rows} AND ${IS_COUNTED}`, `${post}, day, ${ADDS}`, of)
  const parts = [valuesOfRows(found, names)]
  if (hasBases(sources, days)) {
    const bases = basesOf(days, of === 'site' ? `post = '${SITE}'` : `post != '${SITE}' AND ${posts}`)
    parts.push(
      `SELECT post, day, dimension, value, n, n_bots FROM (${bases}) ${EACH_VALUE} WHERE dimension IN (${quoted(names)})`,
    )
    if (names.includes(ALL)) {
      parts.push(
        `SELECT post, day, '${ALL}', '', n, n_bots FROM (${bases}) ${EACH_VALUE} WHERE dimension = '${ADDS_UP}'`,
      )
    }
  }
  return summed(parts.join(' UNION ALL '))
}

/** As SQL: each value once. */
export function summed(values: string): string {
  return `SELECT post, day, dimension, value, sum(c.n) AS n, ${SUM_OF_BOTS} AS n_bots
    FROM (${values}) AS c GROUP BY post, day, dimension, value`
}

/** As SQL, of a table with `COUNTS`: the values of a dimension, and all views. */
export function keptOf(name: DimensionName): string {
  const of = (array: string) => `arrayFilter((x, d) -> d = '${name}', ${array}, dimensions)`
  const bots = `arrayFilter((b, d) -> d = '${ADDS_UP}', value_bots, dimensions)`
  return `${of('values')} AS told, ${of('value_views')} AS views_of, ${of('value_bots')} AS bots_of,
    arraySum((n, d) -> if(d = '${ADDS_UP}', n, 0), value_views, dimensions) AS all_views,
    if(has(${bots}, NULL), NULL, arraySum(b -> ifNull(b, 0), ${bots})) AS all_bots`
}

/** As SQL: the same, from the result of `valuesOf` for this dimension and `ALL`. */
export function countedOf(name: DimensionName, values: string): string {
  const of = (column: string) => `groupArrayIf(c.${column}, dimension = '${name}')`
  return `SELECT post, day, ${of('value')} AS told, ${of('n')} AS views_of, ${of('n_bots')} AS bots_of,
      sumIf(c.n, dimension = '${ALL}') AS all_views,
      if(max(c.n_bots IS NULL AND dimension = '${ALL}'), NULL, sumIf(ifNull(c.n_bots, 0), dimension = '${ALL}')) AS all_bots
    FROM (${values}) AS c GROUP BY post, day`
}

/** `SELECT post, day` and `COUNTS`: as many values as are kept. `also`: as in `figuresOf`. */
export function breakdownsOf(sources: Sources, days: readonly Day[], posts = 'true', also?: string): string {
  const nothing =
    also === undefined
      ? ''
      : ` UNION ALL SELECT post, day, '', '', toUInt64(0), NULL FROM (${eachDay(also, days)})`
  return keptCounts(`${valuesOf(sources, days, { posts })}${nothing}`, KEPT_OF_POST)
}

/** As SQL, of the result of `valuesOf`: of each dimension the values with the most views, that of views without one, and the rest as one. */
export function keptCounts(values: string, limit: number): string {
  const each = (element: number) => `arrayMap(x -> x.${element}, counts)`
  // An array of several arrays would be a constant of another type where it is empty.
  return `SELECT post, day, ${each(1)} AS dimensions, ${each(2)} AS values, ${each(3)} AS value_views, ${each(4)} AS value_bots
    FROM (
      SELECT post, day, arrayFlatten(arrayMap(x -> x.2, arraySort(x -> x.1, groupArrayIf((dimension, kept), dimension != '')))) AS counts
      FROM (
        SELECT post, day, dimension,
               arraySort(x -> (x.2 = '${REMAINDER}', x.2 != '${NO_VALUE}', -toInt64(x.3), x.2), groupArray((toString(dimension), value, n, n_bots))) AS sorted,
               ${limit} + countIf(value = '${NO_VALUE}') AS room, arraySlice(sorted, room + 1) AS rest,
               arrayConcat(arraySlice(sorted, 1, room), if(empty(rest), [], [(
                 toString(dimension), '${REMAINDER}', arraySum(x -> x.3, rest),
                 if(arrayExists(x -> x.4 IS NULL, rest), NULL, arraySum(x -> ifNull(x.4, 0), rest))
               )])) AS kept
        FROM (${values})
        GROUP BY post, day, dimension
      )
      GROUP BY post, day
    )`
}
