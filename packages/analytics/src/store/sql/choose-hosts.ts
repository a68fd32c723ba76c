/** Which hosts a settled day keeps, chosen anew from its rows: `rebuild` takes out of the remainder what belongs among them. */

import { NOWHERE, REMAINDER } from '../bounds.ts'
import type { Day } from '../calendar.ts'
import { byViews, type Compared, type Unkept } from './compare-hosts.ts'
import { hostsOfRows } from './host-rows.ts'
import { hasRows } from './recount.ts'
import {
  addToStored,
  addViews,
  boundHosts,
  type HostTable,
  type Place,
  POST_HOSTS,
  placed,
  SITE_HOSTS,
} from './settle.ts'
import { figure, isSettled, marks, type SqlClient, type SqlEngine } from './sql.ts'
import { PutRightMeanwhile, type Turn } from './turn.ts'

const HOSTS_AT_ONCE = 200
/** So few rows are counted in a moment. */
const ROWS_AT_ONCE = 20_000

type AfterStep = () => Promise<void>

/** Keeps the hosts of a settled day that have most views by its rows. Returns how many were not kept before. */
export async function chooseAnew(
  engine: SqlEngine,
  turn: Turn,
  day: Day,
  { posts, site }: Compared['unkept'],
  afterStep: AfterStep,
): Promise<number> {
  let chosen = 0
  for (const [post, hosts] of posts) {
    chosen += await keepMore(engine, turn, POST_HOSTS, { day, post }, hosts, afterStep)
  }
  return chosen + (await keepMore(engine, turn, SITE_HOSTS, { day, post: null }, site, afterStep))
}

/** Takes hosts out of the remainder that have more views than some that are kept, or where there is room. */
async function keepMore(
  engine: SqlEngine,
  turn: Turn,
  table: HostTable,
  place: Place,
  unkept: readonly Unkept[],
  afterStep: AfterStep,
): Promise<number> {
  if (unkept.length === 0) return 0
  await boundHosts(engine, table, place, afterStep)
  const { where, values } = placed(place)
  const stored = await engine.reader.all(
    `SELECT host, view_count FROM ${table.name} WHERE ${where} AND host NOT IN ('${NOWHERE}', '${REMAINDER}')`,
    values,
  )
  const kept = stored.map(row => ({ host: String(row['host']), views: Number(row['view_count']) }))
  const best = new Set([...kept, ...unkept].sort(byViews).slice(0, table.kept))
  const chosen = unkept.filter(host => best.has(host)).map(({ host }) => host)
  for (let at = 0; at < chosen.length; at += HOSTS_AT_ONCE) {
    await takeOut(engine, turn, table, place, chosen.slice(at, at + HOSTS_AT_ONCE))
    await afterStep()
  }
  await boundHosts(engine, table, place, afterStep)
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
  place: Place,
  chosen: readonly string[],
): Promise<void> {
  const { day, post } = place
  const addViewsOf = async (client: SqlClient, after: number, last: number, views: Map<string, number>) => {
    const { sql, values } = hostsOfRows(engine, table, day, {
      where: `post_views.id > ? AND post_views.id <= ? AND post_views.referer_host IN (${marks(chosen.length)})
        ${post === null ? '' : 'AND post_views.post_uuid = ?'}`,
      values: [after, last, ...chosen, ...(post === null ? [] : [post])],
      areOwn: after > 0,
    })
    for (const row of await client.all(sql, values)) {
      const host = String(row['host'])
      views.set(host, (views.get(host) ?? 0) + Number(row['views']))
    }
  }
  const before = new Map<string, number>()
  let counted = 0
  for (;;) {
    const last = await lastRow(engine)
    await addViewsOf(engine.reader, counted, last, before)
    const isNear = last - counted <= ROWS_AT_ONCE
    counted = last
    if (isNear) break
  }
  await turn.change(async (client, state) => {
    if (!isSettled(state, day) || !hasRows(state, day)) throw new PutRightMeanwhile()
    // A map of its own: a transaction that another is in the way of is done again.
    const views = new Map(before)
    await addViewsOf(client, counted, Number.MAX_SAFE_INTEGER, views)
    for (const [host, some] of views) await addViews(client, table, place, host, some)
    const all = views.values().reduce((sum, some) => sum + some, 0)
    await addToStored(client, table, place, REMAINDER, -all)
  })
}
