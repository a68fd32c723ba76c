/** Which hosts a settled day keeps, chosen anew from its rows: `rebuild` takes out of the remainder what belongs among them. */

import { NOWHERE, REMAINDER } from '../bounds.ts'
import type { Day } from '../calendar.ts'
import { hasRows, hostsOfRows } from './host-rows.ts'
import { addToStored, addViews, boundHosts, type HostTable, POST_HOSTS, SITE_HOSTS } from './settle.ts'
import { figure, isSettled, marks, type SqlClient, type SqlEngine } from './sql.ts'
import { PutRightMeanwhile, type Turn } from './turn.ts'

const HOSTS_AT_ONCE = 200
const POSTS_AT_ONCE = 20
/** So few rows are counted in a moment. */
const ROWS_AT_ONCE = 20_000

/** Keeps the hosts of a settled day that have most views by its rows. Returns how many were not kept before. */
export async function chooseAnew(
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
  for (let at = 0; at < chosen.length; at += HOSTS_AT_ONCE) {
    await takeOut(engine, turn, table, day, chosen.slice(at, at + HOSTS_AT_ONCE))
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
