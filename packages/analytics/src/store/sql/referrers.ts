/**
 * The hosts that readers came from, by post and day and by day of the site: recounted, compared, put right. Which hosts a
 * settled day keeps is taken as it is stored, where days are compared; `rebuild` chooses them anew.
 */

import { NOWHERE, REMAINDER } from '../bounds.ts'
import type { Day } from '../calendar.ts'
import { differences } from '../differences.ts'
import type { Difference } from '../store.ts'
import { chooseAnew } from './choose-hosts.ts'
import { type Compared, compareHosts, type Wrong } from './compare-hosts.ts'
import { hostsOfRows } from './host-rows.ts'
import { hasRows } from './recount.ts'
import { addToStored, addViews, type HostTable, POST_HOSTS, placed, SITE_HOSTS } from './settle.ts'
import {
  figure,
  isSettled,
  SELECT_STATE,
  type SqlClient,
  type SqlEngine,
  type State,
  toState,
} from './sql.ts'
import { countOfRebuilds, PutRightMeanwhile, Turn } from './turn.ts'

const AT_ONCE = 200

/** What differs of the day; where its raw rows are gone, only whether the site's hosts add up to the posts'. */
export async function verifyReferrers(
  engine: SqlEngine,
  client: SqlClient,
  state: State,
  day: Day,
  afterStep: () => void = () => {},
): Promise<Difference[]> {
  // Settled by a clock that was ahead, and so no more: retention is about to count its hosts anew, a step at a time.
  if (hasRows(state, day) && !isSettled(state, day) && (await hasRemainder(client, day))) return []
  const compared = await compare(engine, client, state, day, afterStep)
  const wrong = compared.wrong.flatMap(({ table, post, host, ...views }) =>
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

async function compare(
  engine: SqlEngine,
  client: SqlClient,
  state: State,
  day: Day,
  afterStep: () => void,
): Promise<Compared> {
  return hasRows(state, day)
    ? compareHosts(engine, client, state, day, afterStep)
    : { wrong: await wrongSums(client, day), unkept: { posts: new Map(), site: [] }, unknown: new Set() }
}

async function hasRemainder(client: SqlClient, day: Day): Promise<boolean> {
  for (const { name } of [POST_HOSTS, SITE_HOSTS]) {
    const rest = await client.all(`SELECT 1 AS found FROM ${name} WHERE date = ? AND host = ? LIMIT 1`, [
      day,
      REMAINDER,
    ])
    if (rest.length > 0) return true
  }
  return false
}

/** The site's hosts of a day whose rows are gone, against the sums of its posts' where these tell of every host. */
async function wrongSums(client: SqlClient, day: Day): Promise<Wrong[]> {
  // A post's remainder does not tell which hosts it is of.
  if (await hasRemainder(client, day)) return []
  const rows = await client.all(
    `SELECT host, SUM(of_posts) AS expected, SUM(of_site) AS found
     FROM (
       SELECT host, view_count AS of_posts, NULL AS of_site FROM ${POST_HOSTS.name} WHERE date = ?
       UNION ALL
       SELECT host, NULL, view_count FROM ${SITE_HOSTS.name} WHERE date = ?
     ) AS both_tables
     GROUP BY host
     HAVING COALESCE(SUM(of_posts), -1) <> COALESCE(SUM(of_site), -1)`,
    [day, day],
  )
  return rows.map(row => ({
    table: SITE_HOSTS,
    post: null,
    host: String(row['host']),
    expected: figure(row['expected']),
    found: figure(row['found']),
  }))
}

/**
 * Puts the day's hosts right, beside live consumers: what differs is found in a snapshot and applied as numbers, some at a
 * time, so that what batches add meanwhile stays. Returns how many were wrong. Ended by an `afterStep` that throws, it is
 * continued by the next run.
 */
export async function rebuildReferrers(
  engine: SqlEngine,
  day: Day,
  afterStep: () => void = () => {},
): Promise<number> {
  let fixed = 0
  for (;;) {
    try {
      const { state, rebuilds, compared } = await engine.snapshot(async client => {
        const now = toState((await client.all(SELECT_STATE))[0]!)
        return {
          state: now,
          rebuilds: await countOfRebuilds(client),
          compared: await compare(engine, client, now, day, afterStep),
        }
      })
      const { wrong } = compared
      const turn = new Turn(engine, rebuilds)
      for (let at = 0; at < wrong.length; at += AT_ONCE) {
        const some = wrong.slice(at, at + AT_ONCE)
        await turn.change((client, now) => correct(client, now, day, some))
        fixed += some.length
        afterStep()
      }
      if (isSettled(state, day) && hasRows(state, day))
        fixed += await chooseAnew(engine, turn, day, compared, async () => afterStep())
      return fixed
    } catch (error) {
      if (!(error instanceof PutRightMeanwhile)) throw error
      afterStep()
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
