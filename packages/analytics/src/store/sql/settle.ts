/**
 * Settles the days that are over: of a post and of the site the hosts with most views stay, the others are moved into one
 * remainder, a step at a time. First the mark is set, from which on a batch adds to no other hosts; so what there is to
 * move only becomes less, and a run that was ended is continued by the next. Sums are equal at every moment.
 */

import { KEPT_OF_POST, KEPT_OF_SITE, lastSettled, NOWHERE, REMAINDER } from '../bounds.ts'
import { addDays, type Day } from '../calendar.ts'
import { placeholders, SELECT_STATE, type SqlClient, type SqlEngine, type SqlValue, toState } from './sql.ts'

/** The hosts of posts, or of the site: what a day keeps of each. Another dimension would have two such tables as well. */
export interface HostTable {
  name: string
  hasPosts: boolean
  kept: number
}

export const POST_HOSTS: HostTable = { name: 'post_view_referrers', hasPosts: true, kept: KEPT_OF_POST }
export const SITE_HOSTS: HostTable = { name: 'site_view_referrers', hasPosts: false, kept: KEPT_OF_SITE }

// Half of them at most are named in a statement: below 1,000, from which on MariaDB turns a list into a table that it joins.
const HOSTS_AT_ONCE = 1_800
const ROWS_LOOKED_AT = 50_000

/** Said after each step, so that work can go on at the next run. */
type AfterStep = () => Promise<void>

/**
 * @param now Unix seconds, by the clock that retention goes by
 * @param reopen counts a day's hosts from its rows again
 */
export async function settleDays(
  engine: SqlEngine,
  now: number,
  reopen: (day: Day) => Promise<unknown>,
  afterStep: AfterStep,
): Promise<void> {
  const until = lastSettled(engine.calendar, now)
  await setMark(engine, until)
  await afterStep()
  for (const day of await reopenedDays(engine.reader, until)) {
    await reopen(day)
    await afterStep()
  }
  for (;;) {
    const day = await nextDay(engine.reader)
    if (day === null) break
    await boundDay(engine, day, afterStep)
    await engine.exclusive(client =>
      client.run('UPDATE post_view_state SET bounded_until = ? WHERE id = 1 AND settled_until >= ?', [
        day,
        day,
      ]),
    )
  }
}

/**
 * From here on batches add to no new hosts of the days up to `until`. A mark beyond the next day was set by a clock that was
 * ahead: it goes back, for what readers come from now would all be in the remainder until then.
 */
function setMark(engine: SqlEngine, until: Day): Promise<void> {
  return engine.exclusive(async (client, { settledUntil }) => {
    const isAhead = settledUntil !== null && settledUntil > addDays(until, 1)
    if (settledUntil !== null && settledUntil >= until && !isAhead) return
    await client.run(
      `UPDATE post_view_state
       SET settled_until = ?, bounded_until = CASE WHEN bounded_until > ? THEN ? ELSE bounded_until END
       WHERE id = 1`,
      [until, until, until],
    )
  })
}

/** Days behind the mark that have a remainder: they were settled by a clock that was ahead. */
async function reopenedDays(client: SqlClient, until: Day): Promise<Day[]> {
  const { settledUntil } = toState((await client.all(SELECT_STATE))[0]!)
  const after = settledUntil !== null && settledUntil > until ? settledUntil : until
  const days = new Set<Day>()
  for (const { name } of [POST_HOSTS, SITE_HOSTS]) {
    const rows = await client.all(`SELECT DISTINCT date FROM ${name} WHERE date > ? AND host = ?`, [
      after,
      REMAINDER,
    ])
    for (const { date } of rows) days.add(String(date))
  }
  return [...days].sort()
}

/** The first day whose hosts may still have to be moved. */
async function nextDay(client: SqlClient): Promise<Day | null> {
  const { settledUntil, boundedUntil } = toState((await client.all(SELECT_STATE))[0]!)
  if (settledUntil === null) return null
  const [after, values] =
    boundedUntil === null ? ['', [settledUntil]] : ['AND date > ?', [settledUntil, boundedUntil]]
  const days: Day[] = []
  for (const { name } of [POST_HOSTS, SITE_HOSTS]) {
    const [row] = await client.all(`SELECT MIN(date) AS day FROM ${name} WHERE date <= ? ${after}`, values)
    if (row!['day'] !== null) days.push(String(row!['day']))
  }
  return days.sort()[0] ?? null
}

/** Moves what a settled day does not keep. */
export async function boundDay(engine: SqlEngine, day: Day, afterStep: AfterStep): Promise<void> {
  for await (const posts of postsWithMany(engine.reader, day)) {
    for (const post of posts) await boundHosts(engine, POST_HOSTS, { day, post }, afterStep)
    await afterStep()
  }
  await boundHosts(engine, SITE_HOSTS, { day, post: null }, afterStep)
}

/** Posts with more hosts than a day keeps of one, some thousand rows at a time. */
async function* postsWithMany(client: SqlClient, day: Day): AsyncGenerator<string[]> {
  const { name, kept } = POST_HOSTS
  for (let after: string | null = ''; after !== null; ) {
    const [edge] = await client.all(
      `SELECT post_uuid FROM ${name} WHERE date = ? AND post_uuid > ? ORDER BY post_uuid LIMIT 1 OFFSET ${ROWS_LOOKED_AT}`,
      [day, after],
    )
    const last: string | null = edge === undefined ? null : String(edge['post_uuid'])
    const rows = await client.all(
      `SELECT post_uuid FROM ${name}
       WHERE date = ? AND post_uuid > ? ${last === null ? '' : 'AND post_uuid <= ?'}
       GROUP BY post_uuid
       HAVING COUNT(*) > ${kept}`,
      last === null ? [day, after] : [day, after, last],
    )
    yield rows.map(row => String(row['post_uuid']))
    after = last
  }
}

/** A post's day, or the site's. */
export interface Place {
  day: Day
  post: string | null
}

export function placed({ day, post }: Place): { where: string; values: SqlValue[] } {
  return post === null
    ? { where: 'date = ?', values: [day] }
    : { where: 'date = ? AND post_uuid = ?', values: [day, post] }
}

/** Moves the hosts beyond those with most views into the remainder. */
export async function boundHosts(
  engine: SqlEngine,
  table: HostTable,
  place: Place,
  afterStep: AfterStep,
): Promise<void> {
  const { where, values } = placed(place)
  const isHost = `${where} AND host NOT IN ('${NOWHERE}', '${REMAINDER}')`
  const kept = await mostViewed(engine.reader, table, isHost, values)
  if (kept === null) return
  for (let after = ''; ; ) {
    const page = await engine.reader.all(
      `SELECT host FROM ${table.name} WHERE ${isHost} AND host > ? ORDER BY host LIMIT ${HOSTS_AT_ONCE}`,
      [...values, after],
    )
    if (page.length === 0) return
    const hosts = page.map(({ host }) => String(host))
    const last = hosts.at(-1)!
    const staying = hosts.filter(host => kept.has(host))
    const going = hosts.filter(host => !kept.has(host))
    const [which, named] =
      going.length < staying.length
        ? [`IN (${placeholders(going.length)})`, going]
        : [`NOT IN (${placeholders(staying.length + 1)})`, ['', ...staying]]
    if (going.length > 0) {
      const those = `${isHost} AND host > ? AND host <= ? AND host ${which}`
      await engine.exclusive(client =>
        moveToRemainder(client, table, place, those, [...values, after, last, ...named]),
      )
      await afterStep()
    }
    after = last
  }
}

/**
 * The hosts to keep; null where they are all of them. Found by their views alone, of which there are few that differ: to
 * sort a million names by them a database takes many times as long.
 */
async function mostViewed(
  client: SqlClient,
  { name, kept }: HostTable,
  isHost: string,
  values: SqlValue[],
): Promise<Set<string> | null> {
  const counts = await client.all(
    `SELECT view_count, COUNT(*) AS hosts FROM ${name} WHERE ${isHost} GROUP BY view_count ORDER BY view_count DESC`,
    values,
  )
  let room = kept
  const edge = counts.find(({ hosts }) => {
    room -= Number(hosts)
    return room < 0
  })
  if (edge === undefined) return null
  const views = Number(edge['view_count'])
  const equals = await client.all(
    `SELECT host FROM ${name} WHERE ${isHost} AND view_count = ? ORDER BY host LIMIT ${room + Number(edge['hosts'])}`,
    [...values, views],
  )
  // Read last, and taken first: a late view may have lifted one of the equals meanwhile.
  const above = await client.all(`SELECT host FROM ${name} WHERE ${isHost} AND view_count > ?`, [
    ...values,
    views,
  ])
  return new Set([...above, ...equals].slice(0, kept).map(({ host }) => String(host)))
}

async function moveToRemainder(
  client: SqlClient,
  table: HostTable,
  place: Place,
  those: string,
  values: SqlValue[],
): Promise<void> {
  const [sum] = await client.all(`SELECT SUM(view_count) AS views FROM ${table.name} WHERE ${those}`, values)
  if (sum!['views'] === null) return
  await client.run(`DELETE FROM ${table.name} WHERE ${those}`, values)
  await addViews(client, table, place, REMAINDER, Number(sum!['views']))
}

/** Adds to a host's views, or takes away where they are less than 0; a host that has none left goes. */
export async function addViews(
  client: SqlClient,
  table: HostTable,
  place: Place,
  host: string,
  views: number,
): Promise<void> {
  if (await addToStored(client, table, place, host, views)) return
  await client.run(
    table.hasPosts
      ? `INSERT INTO ${table.name} (view_count, host, date, post_uuid) VALUES (?, ?, ?, ?)`
      : `INSERT INTO ${table.name} (view_count, host, date) VALUES (?, ?, ?)`,
    [views, host, ...placed(place).values],
  )
}

/** False where the host is not stored. */
export async function addToStored(
  client: SqlClient,
  table: HostTable,
  place: Place,
  host: string,
  views: number,
): Promise<boolean> {
  const { where, values } = placed(place)
  const those = `${where} AND host = ?`
  const isStored =
    (await client.run(`UPDATE ${table.name} SET view_count = view_count + ? WHERE ${those}`, [
      views,
      ...values,
      host,
    ])) > 0
  if (isStored && views < 0) {
    await client.run(`DELETE FROM ${table.name} WHERE ${those} AND view_count = 0`, [...values, host])
  }
  return isStored
}
