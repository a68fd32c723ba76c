/**
 * The hosts that readers came from, by post and day and by day of the site: recounted, compared, put right. Which hosts a
 * settled day keeps is taken as it is stored, where days are compared; `rebuild` chooses them anew.
 */

import { NOWHERE, REMAINDER } from '../bounds.ts'
import type { Day } from '../calendar.ts'
import type { Difference, Progress } from '../store.ts'
import { counted, differences, rowsOfDay } from './recount.ts'
import {
  addToStored,
  addViews,
  boundHosts,
  type HostTable,
  POST_HOSTS,
  placed,
  SITE_HOSTS,
} from './settle.ts'
import {
  figure,
  isSettled,
  marks,
  SELECT_STATE,
  type SqlClient,
  type SqlEngine,
  type SqlValue,
  type State,
  toState,
} from './sql.ts'

/** A host's views of a day that are not what they must be; null: none are, or none must be stored. */
interface Wrong {
  table: HostTable
  post: string | null
  host: string
  expected: number | null
  found: number | null
}

const AT_ONCE = 200
/** So few rows are counted in a moment. */
const ROWS_AT_ONCE = 20_000
const POSTS_AT_ONCE = 20
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

function hasRows({ rawFrom }: State, day: Day): boolean {
  return rawFrom === null || day >= rawFrom
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

interface Sql {
  sql: string
  values: SqlValue[]
}

interface Narrowed {
  where?: string
  values?: SqlValue[]
  /** They are all of this service's own writing. */
  areOwn?: boolean
}

/**
 * The views of each host by the raw rows of a day, as a SELECT of `post_uuid`, `host` and `views`; of the site's without
 * the post. Of days that adopted rows leave unknown, only what was counted since.
 */
function hostsOfRows(
  engine: SqlEngine,
  { hasPosts }: HostTable,
  day: Day,
  { where: also = '1 = 1', values: alsoValues = [], areOwn = false }: Narrowed = {},
): Sql {
  const { where, values } = rowsOfDay(engine, day)
  const key = `${hasPosts ? 'post_views.post_uuid, ' : ''}post_views.referer_host`
  const select = `SELECT ${key} AS host, COUNT(*) AS views FROM post_views`
  const those = `${where} AND ${counted(engine)} = 1 AND ${also}`
  if (areOwn) {
    return { sql: `${select} WHERE ${those} GROUP BY ${key}`, values: [...values, ...alsoValues] }
  }
  const unknown = unknownPosts(engine, day)
  return {
    sql: `
      ${select}
      LEFT JOIN (${unknown.sql}) AS unknown_posts ON unknown_posts.post_uuid = post_views.post_uuid
      WHERE ${those} AND (unknown_posts.post_uuid IS NULL OR post_views.received_at IS NOT NULL)
      GROUP BY ${key}`,
    values: [...unknown.values, ...values, ...alsoValues],
  }
}

/** Posts of which adopted rows do not explain the day's adopted views. */
function unknownPosts(engine: SqlEngine, day: Day): Sql {
  const { where, values } = rowsOfDay(engine, day)
  return {
    sql: `
      SELECT post_uuid
      FROM (
        SELECT post_uuid, 0 AS baseline, COUNT(*) AS adopted_rows
        FROM post_views WHERE ${where} AND received_at IS NULL GROUP BY post_uuid
        UNION ALL
        SELECT post_uuid, baseline, 0 FROM post_view_aggregates WHERE date = ? AND baseline <> 0
      ) AS adopted
      GROUP BY post_uuid
      HAVING SUM(baseline) <> SUM(adopted_rows)`,
    values: [...values, day],
  }
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

/** While a day was put right, somebody else put something right as well: what differs has to be looked for again. */
class PutRightMeanwhile extends Error {}

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

async function countOfRebuilds(client: SqlClient): Promise<number> {
  const [row] = await client.all('SELECT rebuilds FROM post_view_rebuilds WHERE id = 1')
  return Number(row!['rebuilds'])
}

/** Short transactions that change counters, as long as nobody else does so between them. */
class Turn {
  readonly #engine: SqlEngine
  #rebuilds: number

  constructor(engine: SqlEngine, rebuilds: number) {
    this.#engine = engine
    this.#rebuilds = rebuilds
  }

  /** @throws {PutRightMeanwhile} and nothing was changed */
  async change<T>(work: (client: SqlClient, state: State) => Promise<T>): Promise<T> {
    const result = await this.#engine.exclusive(async (client, state) => {
      if ((await countOfRebuilds(client)) !== this.#rebuilds) throw new PutRightMeanwhile()
      // Whoever keeps what was read of a day in memory learns from this that it was changed.
      await client.run('UPDATE post_view_rebuilds SET rebuilds = rebuilds + 1 WHERE id = 1')
      return work(client, state)
    })
    this.#rebuilds++
    return result
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

/** Keeps the hosts of a settled day that have most views by its rows. Returns how many were not kept before. */
async function chooseAnew(
  engine: SqlEngine,
  turn: Turn,
  day: Day,
  afterStep: () => Promise<void>,
): Promise<number> {
  let chosen = 0
  const posts = (
    await engine.reader.all(`SELECT post_uuid FROM ${POST_HOSTS.name} WHERE date = ? AND host = ?`, [
      day,
      REMAINDER,
    ])
  ).map(row => String(row['post_uuid']))
  for (let at = 0; at < posts.length; at += POSTS_AT_ONCE) {
    const some = posts.slice(at, at + POSTS_AT_ONCE)
    chosen += await keepMore(engine, turn, POST_HOSTS, day, some, afterStep)
    for (const post of some) await boundHosts(engine, POST_HOSTS, { day, post }, afterStep)
  }
  chosen += await keepMore(engine, turn, SITE_HOSTS, day, [], afterStep)
  await boundHosts(engine, SITE_HOSTS, { day, post: null }, afterStep)
  return chosen
}

interface Chosen {
  post: string | null
  host: string
}

/** Takes hosts out of the remainder that have more views than some that are kept, or where there is room. */
async function keepMore(
  engine: SqlEngine,
  turn: Turn,
  table: HostTable,
  day: Day,
  posts: readonly string[],
  afterStep: () => Promise<void>,
): Promise<number> {
  const { name, hasPosts, kept } = table
  const must = hostsOfRows(engine, table, day, {
    where: `post_views.referer_host <> '${NOWHERE}' ${hasPosts ? `AND post_views.post_uuid IN (${marks(posts.length)})` : ''}`,
    values: [...posts],
  })
  const post = hasPosts ? 'ranked.post_uuid, ' : ''
  const rows = await engine.reader.all(
    `SELECT ${post}ranked.host
     FROM (
       SELECT must.*, ROW_NUMBER() OVER (${hasPosts ? 'PARTITION BY post_uuid ' : ''}ORDER BY views DESC, host) AS place
       FROM (${must.sql}) AS must
     ) AS ranked
     LEFT JOIN ${name} AS kept
       ON kept.date = ? AND kept.host = ranked.host ${hasPosts ? 'AND kept.post_uuid = ranked.post_uuid' : ''}
     WHERE place <= ${kept} AND kept.host IS NULL`,
    [...must.values, day],
  )
  const chosen = rows.map(row => ({
    post: hasPosts ? String(row['post_uuid']) : null,
    host: String(row['host']),
  }))
  for (let at = 0; at < chosen.length; at += AT_ONCE) {
    await takeOut(engine, turn, table, day, chosen.slice(at, at + AT_ONCE))
    await afterStep()
  }
  return chosen.length
}

/** The number of the last row, at a moment when no batch is on its way: every row up to it is committed. */
function lastRow(engine: SqlEngine): Promise<number> {
  return engine.exclusive(async client => {
    const [row] = await client.all('SELECT MAX(id) AS last FROM post_views')
    return figure(row!['last']) ?? 0
  })
}

/** Moves hosts with all their views out of the remainder: the last rows are counted while no batch is on its way. */
async function takeOut(
  engine: SqlEngine,
  turn: Turn,
  table: HostTable,
  day: Day,
  chosen: readonly Chosen[],
): Promise<void> {
  const views = new Map<string, Map<string, number>>()
  const count = async (client: SqlClient, after: number, last: number) => {
    for (const row of await viewsOfRows(engine, client, table, day, chosen, after, last)) {
      const hosts = views.get(row.post ?? '') ?? new Map<string, number>()
      views.set(row.post ?? '', hosts.set(row.host, (hosts.get(row.host) ?? 0) + row.views))
    }
  }
  let counted = 0
  for (;;) {
    const last = await lastRow(engine)
    await count(engine.reader, counted, last)
    const isNear = last - counted <= ROWS_AT_ONCE
    counted = last
    if (isNear) break
  }
  await turn.change(async (client, state) => {
    if (!isSettled(state, day) || !hasRows(state, day)) throw new PutRightMeanwhile()
    await count(client, counted, Number.MAX_SAFE_INTEGER)
    for (const [post, hosts] of views) {
      const place = { day, post: table.hasPosts ? post : null }
      for (const [host, some] of hosts) await addViews(client, table, place, host, some)
      const all = hosts.values().reduce((sum, some) => sum + some, 0)
      await addToStored(client, table, place, REMAINDER, -all)
    }
  })
}

async function viewsOfRows(
  engine: SqlEngine,
  client: SqlClient,
  table: HostTable,
  day: Day,
  chosen: readonly Chosen[],
  after: number,
  last: number,
): Promise<(Chosen & { views: number })[]> {
  const posts = [...new Set(chosen.flatMap(({ post }) => post ?? []))]
  const must = hostsOfRows(engine, table, day, {
    where: `post_views.id > ? AND post_views.id <= ? AND post_views.referer_host IN (${marks(chosen.length)})
      ${posts.length === 0 ? '' : `AND post_views.post_uuid IN (${marks(posts.length)})`}`,
    values: [after, last, ...chosen.map(({ host }) => host), ...posts],
    areOwn: after > 0,
  })
  // Any of the hosts with any of the posts: not all of these were chosen.
  const isChosen = new Set(chosen.map(({ post, host }) => `${post ?? ''}\n${host}`))
  const rows = await client.all(must.sql, must.values)
  return rows
    .map(row => ({
      post: table.hasPosts ? String(row['post_uuid']) : null,
      host: String(row['host']),
      views: Number(row['views']),
    }))
    .filter(({ post, host }) => isChosen.has(`${post ?? ''}\n${host}`))
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
