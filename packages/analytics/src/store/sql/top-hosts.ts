/** The hosts with most views of a period. */

import { KEPT_OF_SITE, REMAINDER } from '../bounds.ts'
import type { Day } from '../calendar.ts'
import { POST_HOSTS, SITE_HOSTS } from './settle.ts'
import { placeholders, SELECT_STATE, type SqlClient, type SqlRow, type SqlValue, toState } from './sql.ts'

export interface TopHosts {
  hosts: { host: string; views: number }[]
  /** Those of the hosts that are not listed, and of the remainders. */
  otherViews: number
}

/** More than any settled day has: a day with so many hosts is read by itself. */
const MANY_HOSTS = KEPT_OF_SITE + 2
/** Of so many it is known how many have how many views. */
const SOME_HOSTS = 20_000

/** All from one moment: most views first, then by host. `NULLIF(0, 0)`: null, but of a type that all parts of the UNION share. */
export async function topHosts(
  client: SqlClient,
  post: string | null,
  days: readonly Day[],
  limit: number,
  offset: number,
): Promise<TopHosts> {
  const { name } = post === null ? SITE_HOSTS : POST_HOSTS
  const of = (some: readonly Day[]) => hostsOf(post, some)
  // Further down the list the shortcut of the biggest day ends: all hosts of all days are summed and sorted.
  const biggest = offset === 0 ? await biggestDay(client, post, days) : null

  // Lists are named by their place, so that each row tells which it is of. One statement, so that all is of one moment.
  const lists: { sql: string; values: SqlValue[] }[] = []
  const others = of(days.filter(day => day !== biggest))
  const summed = `
    SELECT host, SUM(view_count) AS views FROM ${name}
    WHERE ${others.where} AND host <> '${REMAINDER}'
    GROUP BY host`
  if (days.length > 1 || biggest === null) {
    lists.push({
      sql: `SELECT NULLIF('', '') AS host, NULLIF(0, 0) AS views, SUM(view_count) AS total FROM ${name} WHERE ${others.where}`,
      values: others.values,
    })
  }
  if (biggest === null) {
    lists.push({
      sql: `SELECT host, views, NULLIF(0, 0) AS total FROM (${summed}) AS summed
            ORDER BY views DESC, host LIMIT ${limit} OFFSET ${offset}`,
      values: others.values,
    })
  } else {
    const one = of([biggest])
    if (days.length > 1) {
      lists.push({
        sql: `
          SELECT summed.host, summed.views + COALESCE(big.view_count, 0) AS views, NULLIF(0, 0) AS total
          FROM (${summed}) AS summed
          LEFT JOIN ${name} AS big
            ON big.date = ? AND big.host = summed.host ${post === null ? '' : 'AND big.post_uuid = ?'}
          ORDER BY views DESC, summed.host LIMIT ${limit}`,
        values: [...others.values, ...one.values],
      })
    }
    lists.push(...(await listsOfOneDay(client, name, one, limit)))
  }
  const rows = await client.all(
    lists
      .map(({ sql }, place) => `SELECT ${place} AS list, host, views, total FROM (${sql}) AS list_${place}`)
      .join(' UNION ALL '),
    lists.flatMap(({ values }) => values),
  )
  const totals = new Map(rows.map(row => [row['list'], Number(row['total'])]))
  const total = [...totals.values()].reduce((sum, views) => sum + views, 0)
  const hosts = firstHosts(rows, limit)
  const listed = hosts.reduce((sum, { views }) => sum + views, 0)
  return { hosts, otherViews: total - listed }
}

/**
 * The first hosts of a day with very many, and all its views. To sort a million names a database takes twice as long as to
 * look at each once: so some of them tell with how many views a host may be among the first, and only those are named.
 */
async function listsOfOneDay(
  client: SqlClient,
  name: string,
  { where, values }: Where,
  limit: number,
): Promise<{ sql: string; values: SqlValue[] }[]> {
  const counts = await client.all(
    `SELECT view_count AS views, COUNT(*) AS hosts
     FROM (SELECT view_count FROM ${name} WHERE ${where} AND host <> '${REMAINDER}' ORDER BY host LIMIT ${SOME_HOSTS}) AS first_hosts
     GROUP BY view_count
     ORDER BY view_count DESC`,
    values,
  )
  let room = limit
  const edge = counts.find(({ hosts }) => {
    room -= Number(hosts)
    return room <= 0
  })
  const last = edge ?? counts.at(-1)
  const views = Number(last?.['views'] ?? 0)
  // Where many have as many views, as a million with one, the first of them by name are found without looking at the others.
  const areMany = Number(last?.['hosts'] ?? 0) >= limit
  const named = {
    // Under a name of its own: in an ORDER BY, MySQL takes `host` for the column, which is not what is grouped by.
    sql: `
      SELECT named AS host, views, total
      FROM (SELECT CASE WHEN view_count >= ? AND host <> '${REMAINDER}' THEN host END AS named,
                   SUM(view_count) AS views, SUM(SUM(view_count)) OVER () AS total
            FROM ${name} WHERE ${where}
            GROUP BY named) AS each_named
      ORDER BY named IS NULL DESC, views DESC, named LIMIT ${limit + 1}`,
    values: [areMany ? views + 1 : views, ...values],
  }
  if (!areMany) return [named]
  return [
    named,
    {
      sql: `
        SELECT host, view_count AS views, NULLIF(0, 0) AS total FROM ${name}
        WHERE ${where} AND view_count = ? AND host <> '${REMAINDER}'
        ORDER BY host LIMIT ${limit}`,
      values: [...values, views],
    },
  ]
}

interface Where {
  where: string
  values: SqlValue[]
}

function hostsOf(post: string | null, days: readonly Day[]): Where {
  return {
    where: `date IN (${placeholders(days.length)}) ${post === null ? '' : 'AND post_uuid = ?'}`,
    values: post === null ? [...days] : [...days, post],
  }
}

/** The day with most hosts, if it has very many: it can be none that is settled and done. */
async function biggestDay(client: SqlClient, post: string | null, days: readonly Day[]): Promise<Day | null> {
  const { name } = post === null ? SITE_HOSTS : POST_HOSTS
  const { boundedUntil } = toState((await client.all(SELECT_STATE))[0]!)
  const big: Day[] = []
  for (const day of days) {
    if (boundedUntil !== null && day <= boundedUntil) continue
    const { where, values } = hostsOf(post, [day])
    const found = await client.all(
      `SELECT host FROM ${name} WHERE ${where} ORDER BY host LIMIT 1 OFFSET ${MANY_HOSTS}`,
      values,
    )
    if (found.length > 0) big.push(day)
  }
  if (big.length < 2) return big[0] ?? null
  const { where, values } = hostsOf(post, big)
  const [most] = await client.all(
    `SELECT date, COUNT(*) AS hosts FROM ${name} WHERE ${where} GROUP BY date ORDER BY hosts DESC LIMIT 1`,
    values,
  )
  return String(most!['date'])
}

/**
 * A host of the biggest day that other days have as well is in the list of those, with all its views, or it is behind as
 * many as are asked for, all the more with those of the one day. So a host's first row is the one that counts.
 */
function firstHosts(rows: readonly SqlRow[], limit: number): TopHosts['hosts'] {
  const viewsOf = new Map<string, number>()
  for (const row of rows.toSorted((a, b) => Number(a['list']) - Number(b['list']))) {
    const host = row['host']
    if (host !== null && !viewsOf.has(String(host))) viewsOf.set(String(host), Number(row['views']))
  }
  return [...viewsOf]
    .map(([host, views]) => ({ host, views }))
    .sort((a, b) => b.views - a.views || (a.host < b.host ? -1 : 1))
    .slice(0, limit)
}
