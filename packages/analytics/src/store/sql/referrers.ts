/**
 * The hosts that readers came from, by post and day and by day of the site: recounted, compared, put right. Which hosts a
 * settled day keeps is taken as it is stored, where days are compared; `rebuild` chooses them anew.
 */

import { NOWHERE, REMAINDER } from '../bounds.ts'
import type { Day } from '../calendar.ts'
import type { Difference, Progress } from '../store.ts'
import { chooseAnew } from './choose-hosts.ts'
import { hasRows, hostsOfRows, type Sql } from './host-rows.ts'
import { differences } from './recount.ts'
import { addToStored, addViews, type HostTable, POST_HOSTS, placed, SITE_HOSTS } from './settle.ts'
import { isSettled, SELECT_STATE, type SqlClient, type SqlEngine, type State, toState } from './sql.ts'
import { countOfRebuilds, PutRightMeanwhile, Turn } from './turn.ts'

/** A host's views of a day that are not what they must be; null: none are, or none must be stored. */
interface Wrong {
  table: HostTable
  post: string | null
  host: string
  expected: number | null
  found: number | null
}

const AT_ONCE = 200
/** Somebody else puts the same day right each time: then it is right soon. */
const TRIES = 20

/** What differs of the day; where its raw rows are gone, only whether the site's hosts add up to the posts'. */
export async function verifyReferrers(
  engine: SqlEngine,
  client: SqlClient,
  state: State,
  day: Day,
): Promise<Difference[]> {
  const wrong = (await wrongHosts(engine, client, state, day)).flatMap(({ table, post, host, ...views }) =>
    differences(
      table.hasPosts ? 'referrer' : 'site_referrer',
      `${post === null ? 'site' : `post ${post}`} on ${day} from ${nameOf(host)}`,
      asCount(views.expected),
      asCount(views.found),
    ),
  )
  if (hasRows(state, day) || wrong.length > 0) return wrong
  const [expected, found] = [await viewsOf(client, POST_HOSTS, day), await viewsOf(client, SITE_HOSTS, day)]
  return differences('site_referrer', `site on ${day} from all hosts`, asCount(expected), asCount(found))
}

function nameOf(host: string): string {
  if (host === REMAINDER) return 'other hosts'
  return host === NOWHERE ? 'nowhere' : host
}

async function viewsOf(client: SqlClient, { name }: HostTable, day: Day): Promise<number> {
  const [row] = await client.all(`SELECT SUM(view_count) AS views FROM ${name} WHERE date = ?`, [day])
  return Number(row!['views'] ?? 0)
}

function asCount(count: number | null): { view_count: number } | null {
  return count === null ? null : { view_count: count }
}

async function wrongHosts(engine: SqlEngine, client: SqlClient, state: State, day: Day): Promise<Wrong[]> {
  if (hasRows(state, day)) {
    const compared = []
    for (const table of [POST_HOSTS, SITE_HOSTS]) {
      compared.push(...(await compare(client, table, day, hostsOfRows(engine, table, day), state)))
    }
    return compared
  }
  // A post's remainder does not tell which hosts it is of, so the site's hosts cannot be summed up from it.
  for (const { name } of [POST_HOSTS, SITE_HOSTS]) {
    const rest = await client.all(`SELECT 1 AS found FROM ${name} WHERE date = ? AND host = ? LIMIT 1`, [
      day,
      REMAINDER,
    ])
    if (rest.length > 0) return []
  }
  const sums = {
    sql: `SELECT host, SUM(view_count) AS views FROM ${POST_HOSTS.name} WHERE date = ? GROUP BY host`,
    values: [day],
  }
  return compare(client, SITE_HOSTS, day, sums, { settledUntil: null })
}

/** Holds what is stored against what must be; the database compares, so that a million hosts that are right take no memory. */
async function compare(
  client: SqlClient,
  table: HostTable,
  day: Day,
  must: Sql,
  state: Pick<State, 'settledUntil'>,
): Promise<Wrong[]> {
  const { name, hasPosts } = table
  const post = hasPosts ? 'post_uuid, ' : ''
  const joined = `
    LEFT JOIN ${name} AS kept
      ON kept.date = ? AND kept.host = must.host ${hasPosts ? 'AND kept.post_uuid = must.post_uuid' : ''}`
  const [host, join, joinValues] = isSettled(state, day)
    ? [
        `CASE WHEN kept.host IS NOT NULL OR must.host = '${NOWHERE}' THEN must.host ELSE '${REMAINDER}' END`,
        joined,
        [day],
      ]
    : ['must.host', '', []]
  const rows = await client.all(
    `SELECT ${post}host, SUM(expected) AS expected, SUM(found) AS found, SUM(stored) AS stored
     FROM (
       SELECT ${hasPosts ? 'must.post_uuid, ' : ''}${host} AS host, views AS expected, 0 AS found, 0 AS stored
       FROM (${must.sql}) AS must ${join}
       UNION ALL
       SELECT ${post}host, 0, view_count, 1 FROM ${name} WHERE date = ?
     ) AS pairs
     GROUP BY ${post}host
     HAVING SUM(expected) <> SUM(found) OR SUM(expected) = 0
     ORDER BY ${post}host`,
    [...must.values, ...joinValues, day],
  )
  return rows.map(row => ({
    table,
    post: hasPosts ? String(row['post_uuid']) : null,
    host: String(row['host']),
    expected: Number(row['expected']) || null,
    found: Number(row['stored']) === 0 ? null : Number(row['found']),
  }))
}

/**
 * Puts the day's hosts right, beside live consumers: what differs is found in a snapshot and applied as numbers, some at a
 * time, so that what batches add meanwhile stays. Returns how many were wrong. Ended by a `progress` that throws, it is
 * continued by the next run.
 */
export async function rebuildReferrers(
  engine: SqlEngine,
  day: Day,
  progress: Progress = () => {},
): Promise<number> {
  let fixed = 0
  const afterStep = async () => progress('hosts', fixed, fixed)
  for (let tries = 1; ; tries++) {
    try {
      const { state, rebuilds, wrong } = await engine.snapshot(async client => {
        const now = toState((await client.all(SELECT_STATE))[0]!)
        return {
          state: now,
          rebuilds: await countOfRebuilds(client),
          wrong: await wrongHosts(engine, client, now, day),
        }
      })
      const turn = new Turn(engine, rebuilds)
      for (let at = 0; at < wrong.length; at += AT_ONCE) {
        const some = wrong.slice(at, at + AT_ONCE)
        await turn.change((client, now) => correct(client, now, day, some))
        fixed += some.length
        await afterStep()
      }
      if (isSettled(state, day) && hasRows(state, day))
        fixed += await chooseAnew(engine, turn, day, afterStep)
      return fixed
    } catch (error) {
      if (!(error instanceof PutRightMeanwhile) || tries === TRIES) throw error
    }
  }
}

async function correct(client: SqlClient, state: State, day: Day, wrong: readonly Wrong[]): Promise<void> {
  for (const { table, post, host, expected, found } of wrong) {
    const place = { day, post }
    const views = (expected ?? 0) - (found ?? 0)
    if (views === 0) {
      const { where, values } = placed(place)
      await client.run(`DELETE FROM ${table.name} WHERE ${where} AND host = ? AND view_count = 0`, [
        ...values,
        host,
      ])
    } else if (!(await addToStored(client, table, place, host, views))) {
      // The day was settled since, so that it gets no new hosts, and this one was moved where it was stored.
      const goesOn = host === NOWHERE || !isSettled(state, day)
      await addViews(client, table, place, goesOn ? host : REMAINDER, views)
    }
  }
}

/** Counts the hosts of a day that nobody has counted: when tables are adopted. */
export async function countReferrers(engine: SqlEngine, client: SqlClient, day: Day): Promise<void> {
  for (const table of [POST_HOSTS, SITE_HOSTS]) {
    const { sql, values } = hostsOfRows(engine, table, day)
    const columns = table.hasPosts ? 'post_uuid, host' : 'host'
    await client.run(`DELETE FROM ${table.name} WHERE date = ?`, [day])
    await client.run(
      `INSERT INTO ${table.name} (date, ${columns}, view_count)
       SELECT '${day}', ${columns}, views FROM (${sql}) AS must`,
      values,
    )
  }
}
