/** Compares what is stored with what it follows from: the posts, days and hosts for which the two differ. */

import { addDays, type Day } from '../days.ts'
import { differences } from '../differences.ts'
import type { Difference } from '../store.ts'
import type { Shard } from './connection.ts'
import { breakdownsOf, dayIn, figuresOf, KNOWN, SAYS, type Sources, SUMS, SUMS_OF_DAY } from './count.ts'
import { SITE } from './sql.ts'

/** The figures of a table, in the order of its columns, as `verify` calls them. */
const FIELDS = ['view_count', ...KNOWN, 'first_viewed_at', 'last_viewed_at', 'unknown_until']
const TOTAL_FIELDS = ['views', ...FIELDS.slice(1)]
/** The fields before it are sums. */
const FIRST_TIME = FIELDS.indexOf('first_viewed_at')

/** Figures of a shard, for some days or for all: as they should be, and as they are stored. */
interface Counted {
  kind: Difference['kind']
  fields: readonly string[]
  /** As SQL: `SELECT key, v`, an array of numbers for each `keyOf`. */
  expected: string
  found: string
  /** @param post as text @param day where there is one */
  nameOf(post: string, day: Day, host: string): string
}

/** The key of a figure: post or `SITE`, day, host. A part that it lacks is empty, and so are all that follow. */
export function keyOf(post: string, day: Day = '', host = ''): string {
  return post + day + host
}

const DAY_AT = SITE.length
const HOST_AT = DAY_AT + '2026-11-29'.length
export const postOfKey = (key: string) => key.slice(0, DAY_AT)
export const dayOfKey = (key: string): Day => key.slice(DAY_AT, HOST_AT)

/** A key whose two values differ; an empty array means no value. */
export interface Differing extends Pick<Counted, 'kind' | 'fields'> {
  key: string
  name: string
  expected: number[]
  found: number[]
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
    kind: 'aggregate',
    fields: FIELDS,
    expected: `${values} FROM (${figuresOf(sources, days)})`,
    found: `${values} FROM (${storedDays(days)})`,
    nameOf: (post, day) => `post ${post} on ${day}`,
  }
}

export function hostsOfPosts(sources: Sources, days: readonly Day[]): Counted {
  const eachHost = (source: string) =>
    `SELECT concat(toString(post), toString(day), host) AS key, [views] AS v FROM (${source}) ARRAY JOIN hosts AS host, host_views AS views`
  return {
    kind: 'referrer',
    fields: ['view_count'],
    expected: eachHost(breakdownsOf(sources, days)),
    found: eachHost(
      `SELECT post, day, hosts, host_views FROM post_view_breakdowns FINAL WHERE ${dayIn(days)}`,
    ),
    nameOf: (post, day, host) => `post ${post} on ${day} from ${host || 'nowhere'}`,
  }
}

/** Sums of the stored figures of posts. */
export function siteOfDays(days: readonly Day[]): Counted {
  const values = `SELECT concat('${SITE}', toString(day)) AS key, ${VALUES} AS v`
  return {
    kind: 'site_aggregate',
    fields: FIELDS,
    expected: `${values} FROM (SELECT day, ${SUMS_OF_DAY} FROM (${storedDays(days)}) AS f GROUP BY day) WHERE ${SAYS}`,
    found: `${values} FROM post_view_site_days FINAL WHERE ${dayIn(days)} AND ${SAYS}`,
    nameOf: (_, day) => `site on ${day}`,
  }
}

/** Sums of the stored figures of days. */
export const TOTALS: Counted = {
  kind: 'total',
  fields: TOTAL_FIELDS,
  expected: `SELECT toString(post) AS key, ${VALUES} AS v
    FROM (SELECT post, ${SUMS} FROM (SELECT * FROM post_view_days FINAL) AS f GROUP BY post) WHERE ${SAYS}`,
  found: `SELECT toString(post) AS key, ${VALUES} AS v FROM post_view_post_totals FINAL WHERE ${SAYS}`,
  nameOf: post => `post ${post}`,
}

export async function differingIn(
  shard: Shard,
  { kind, fields, expected, found, nameOf }: Counted,
): Promise<Differing[]> {
  const rows = await shard.all(
    `SELECT key, expected, found, if(n.name = '', toString(d.post), n.name) AS of
     FROM (
       SELECT key, toUUIDOrDefault(substring(key, 1, ${DAY_AT})) AS post,
              anyIf(v, side = 0) AS expected, anyIf(v, side = 1) AS found
       FROM (SELECT key, v, 0 AS side FROM (${expected}) UNION ALL SELECT key, v, 1 AS side FROM (${found}))
       GROUP BY key
       HAVING expected != found
     ) AS d
     LEFT ANY JOIN post_view_names AS n ON n.post = d.post
     ORDER BY key`,
  )
  return rows.map(row => ({
    kind,
    fields,
    key: String(row['key']),
    name: nameOf(String(row['of']), dayOfKey(String(row['key'])), String(row['key']).slice(HOST_AT)),
    expected: (row['expected'] as unknown[]).map(Number),
    found: (row['found'] as unknown[]).map(Number),
  }))
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
      const missing = wrong.reduce(
        (total, part) => total + (part.expected[field] ?? 0) - (part.found[field] ?? 0),
        0,
      )
      return (sum.expected[field] ?? 0) + missing
    })
    const isNothing = expected.every((value, field) => field >= FIRST_TIME || value === 0)
    const right = { ...sum, expected: isNothing ? [] : expected }
    return differencesOf(right).length === 0 ? [] : [right]
  })
}

export function differencesOf({ kind, name, fields, expected, found }: Differing): Difference[] {
  const asFigures = (values: readonly number[]) =>
    values.length === 0
      ? null
      : Object.fromEntries(fields.map((field, index) => [field, figureOf(field, values[index]!)]))
  return differences(kind, name, asFigures(expected), asFigures(found))
}

function figureOf(field: string, value: number): number | string | null {
  if (field === 'unknown_until') return value === 0 ? null : addDays('1970-01-01', value)
  if (!field.endsWith('_at')) return value
  return value === 0 ? null : new Date(value * 1_000).toISOString().replace('.000Z', 'Z')
}
