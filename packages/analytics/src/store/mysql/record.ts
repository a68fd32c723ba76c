/** A batch on its way into MySQL: ids, rows and counters in one transaction, in a few long statements. */

import { BatchCounts, latestViewedAt, type PostDayCount } from '../counts.ts'
import type { ViewRow } from '../row.ts'
import { SELECT_STATE, type State, settingsDiffer, toState } from '../sql/sql.ts'
import {
  type CountingSettings,
  type Recorded,
  RowRejected,
  StoreRefused,
  StoreUnavailable,
} from '../store.ts'
import type { MysqlClient, MysqlConnection } from './connection.ts'
import { DuplicateKey } from './errors.ts'
import { bytes, postDay, quoted, time, uuidBytes } from './text.ts'

/** What `recordViews` and `checkSettings` say as long as the state is not written. */
export const BEING_ADOPTED = 'the tables are not adopted to the end: run `postviews migrate`'

const VIEWS_AT_ONCE = 500
const COUNTERS_AT_ONCE = 2_000
// Below 1,000, from which on MariaDB turns a list into a table that it joins.
const KEYS_AT_ONCE = 900
const STATEMENT_CHARACTERS = 1_000_000
const TRIES = 5

/**
 * A batch takes its locks in one order: the state (shared), ids, readers, counters from the many cold ones to the few that
 * every batch needs, each list sorted. So concurrent batches wait for each other, and seldom in a circle.
 */
export function recordViews(
  connection: MysqlConnection,
  { rows, settings, now }: { rows: readonly ViewRow[]; settings: CountingSettings; now: number },
): Promise<Recorded> {
  if (rows.length === 0) return Promise.resolve({ counted: 0, duplicates: 0 })
  const candidates = eachIdOnce(rows)
  return connection.transaction('START TRANSACTION', async client => {
    const state = await shareState(client, settings)
    const counts = new BatchCounts(settings.bots)
    const readers = new Set<string>()
    let batch = 0
    for await (const inserted of insertViews(client, candidates)) {
      if (batch === 0) batch = inserted.firstId
      for (const row of inserted.rows) {
        counts.add(row, false)
        if (counts.counts(row)) readers.add(readerKey(row))
      }
    }
    await refuseClosedDays(client, state, counts)
    await countReaders(client, counts, [...readers].sort(), batch)
    await addCounts(client, counts)
    await client.write(`${SAVE_PROGRESS.insert} (1, ${now}, ${latestViewedAt(rows)}) ${SAVE_PROGRESS.update}`)
    return { counted: counts.rows, duplicates: rows.length - counts.rows }
  })
}

/** Of rows with one id the first, in the order of their ids. */
function eachIdOnce(rows: readonly ViewRow[]): ViewRow[] {
  const withId = new Map<string, ViewRow>()
  const withoutId: ViewRow[] = []
  for (const row of rows) {
    if (row.eventId === null) withoutId.push(row)
    else if (!withId.has(row.eventId)) withId.set(row.eventId, row)
  }
  const ids = [...withId.keys()].sort()
  return [...withoutId, ...ids.map(id => withId.get(id)!)]
}

/** As long as the batch lasts, nobody changes what is counted, and as what. */
async function shareState(client: MysqlClient, settings: CountingSettings): Promise<State> {
  const [row] = await client.all(`${SELECT_STATE} LOCK IN SHARE MODE`)
  if (row === undefined) throw new StoreRefused(BEING_ADOPTED)
  const state = toState(row)
  const differing = settingsDiffer(state.settings, settings)
  if (differing !== null) throw new StoreRefused(differing)
  return state
}

interface Inserted {
  rows: readonly ViewRow[]
  /** The number of the first; 0 when all were there before. */
  firstId: number
}

const INSERT_VIEWS = `
  INSERT INTO post_views
    (post_uuid, user_id, ip, user_agent, referer, viewed_at,
     event_id, received_at, day, slice, logged_in, bot, visitor, referer_host)
  VALUES `

/** Keeps the rows whose ids are new, and tells which: some at a time, the next being written while one is worked on. */
async function* insertViews(client: MysqlClient, rows: readonly ViewRow[]): AsyncGenerator<Inserted> {
  let running: Promise<Inserted> | undefined
  for (const part of partsOf(rows, viewText, VIEWS_AT_ONCE)) {
    const done = await running
    running = insertNewViews(client, part)
    // Awaited further down; until then its failure is not unheard of.
    running.catch(() => {})
    if (done !== undefined) yield done
  }
  if (running !== undefined) yield await running
}

async function insertNewViews(client: MysqlClient, { items, texts }: Part<ViewRow>): Promise<Inserted> {
  for (let tries = 1; items.length > 0; tries++) {
    try {
      const { firstId } = await client.write(INSERT_VIEWS + texts.join())
      return { rows: items, firstId }
    } catch (error) {
      // Some ids were there before, or another consumer was quicker: then it has committed by now.
      if (!(error instanceof DuplicateKey) || error.key !== 'uq_event_id') throw error
      if (tries === TRIES) throw new StoreUnavailable('MySQL: ids kept coming in between')
    }
    const known = await knownIds(client, items)
    const isNew = items.map(({ eventId }) => eventId === null || !known.has(eventId))
    items = items.filter((_, index) => isNew[index])
    texts = texts.filter((_, index) => isNew[index])
  }
  return { rows: [], firstId: 0 }
}

async function knownIds(client: MysqlClient, rows: readonly ViewRow[]): Promise<Set<string>> {
  const known = new Set<string>()
  const withId = rows.filter(({ eventId }) => eventId !== null)
  for (const { items, texts } of partsOf(withId, ({ eventId }) => uuidBytes(eventId), KEYS_AT_ONCE)) {
    const uuidOf = new Map(items.map(({ eventId }) => [eventId!.replaceAll('-', '').toUpperCase(), eventId!]))
    const found = await client.all(
      `SELECT HEX(event_id) AS event_id FROM post_views WHERE event_id IN (${texts.join()})`,
    )
    for (const { event_id } of found) known.add(uuidOf.get(String(event_id))!)
  }
  return known
}

function viewText(row: ViewRow): string {
  return `(${quoted(row.postUuid)},${quoted(row.userId)},${quoted(row.ip)},${quoted(row.userAgent)},${quoted(row.referer)},${time(row.viewedAt)},${uuidBytes(row.eventId)},${time(row.receivedAt)},'${row.day}',${row.slice},${Number(row.loggedIn)},${Number(row.bot)},${bytes(row.visitor)},${quoted(row.refererHost)})`
}

/** A day may have been closed after its readers were hashed: whether they were counted, nobody can tell any more. */
async function refuseClosedDays(
  client: MysqlClient,
  { openFrom }: State,
  counts: BatchCounts,
): Promise<void> {
  if (openFrom === null) return
  const days = new Set(
    counts
      .postDays()
      .map(({ day }) => day)
      .filter(day => day < openFrom),
  )
  if (days.size === 0) return
  for (const { day } of await client.all('SELECT day FROM post_view_day_keys WHERE day < ?', [openFrom])) {
    days.delete(String(day))
  }
  if (days.size > 0) throw new RowRejected(`the key of ${[...days].join(', ')} was destroyed`)
}

const INSERT_READERS = {
  insert: 'INSERT INTO post_view_visitors (day, post_uuid, slice, visitor, batch) VALUES ',
  update: ' ON DUPLICATE KEY UPDATE batch = batch',
}

function readerKey({ day, postUuid, slice, visitor }: ViewRow): string {
  return `'${day}',${quoted(postUuid)},${slice},${bytes(visitor)}`
}

/**
 * Lists the readers of the batch, and counts those who were not listed before. A reader whom another batch is listing
 * is waited for; and whoever this one has listed bears its number, so nobody is counted by two.
 */
async function countReaders(
  client: MysqlClient,
  counts: BatchCounts,
  readers: readonly string[],
  batch: number,
): Promise<void> {
  if (readers.length === 0) return
  await upsert(client, INSERT_READERS, readers, reader => `(${reader},${batch})`)
  const listed = await client.all(
    'SELECT day, post_uuid, COUNT(*) AS readers FROM post_view_visitors WHERE batch = ? GROUP BY day, post_uuid',
    [batch],
  )
  for (const { day, post_uuid, readers } of listed) {
    counts.addUnique(String(post_uuid), String(day), Number(readers))
  }
}

interface Upsert {
  insert: string
  update: string
}

// Null, where adopted rows leave a day's numbers unknown, stays null.
const ADD_TO_POST_DAYS: Upsert = {
  insert: `
    INSERT INTO post_view_aggregates
      (id, post_uuid, date, view_count, unique_views, logged_in, bots, first_viewed_at, last_viewed_at)
    VALUES `,
  update: `
    ON DUPLICATE KEY UPDATE
      view_count      = view_count + VALUES(view_count),
      unique_views    = unique_views + VALUES(unique_views),
      logged_in       = logged_in + VALUES(logged_in),
      bots            = bots + VALUES(bots),
      first_viewed_at = COALESCE(LEAST(first_viewed_at, VALUES(first_viewed_at)), first_viewed_at, VALUES(first_viewed_at)),
      last_viewed_at  = COALESCE(GREATEST(last_viewed_at, VALUES(last_viewed_at)), last_viewed_at, VALUES(last_viewed_at))`,
}

// Null stands for no known day on either side: then the other side tells.
const ADD_TO_POSTS: Upsert = {
  insert: `
    INSERT INTO post_view_totals
      (post_uuid, views, detailed_views, unique_views, logged_in, bots, first_viewed_at, last_viewed_at)
    VALUES `,
  update: `
    ON DUPLICATE KEY UPDATE
      views           = views + VALUES(views),
      detailed_views  = COALESCE(detailed_views + VALUES(detailed_views), detailed_views, VALUES(detailed_views)),
      unique_views    = COALESCE(unique_views + VALUES(unique_views), unique_views, VALUES(unique_views)),
      logged_in       = COALESCE(logged_in + VALUES(logged_in), logged_in, VALUES(logged_in)),
      bots            = COALESCE(bots + VALUES(bots), bots, VALUES(bots)),
      first_viewed_at = COALESCE(LEAST(first_viewed_at, VALUES(first_viewed_at)), first_viewed_at, VALUES(first_viewed_at)),
      last_viewed_at  = COALESCE(GREATEST(last_viewed_at, VALUES(last_viewed_at)), last_viewed_at, VALUES(last_viewed_at))`,
}

const ADD_VIEWS = ' ON DUPLICATE KEY UPDATE view_count = view_count + VALUES(view_count)'

const ADD_TO_REFERRERS: Upsert = {
  insert: 'INSERT INTO post_view_referrers (post_uuid, date, host, view_count) VALUES ',
  update: ADD_VIEWS,
}

const ADD_TO_SITE_REFERRERS: Upsert = {
  insert: 'INSERT INTO site_view_referrers (date, host, view_count) VALUES ',
  update: ADD_VIEWS,
}

const ADD_TO_SITE_DAYS: Upsert = {
  insert: `
    INSERT INTO site_view_aggregates
      (date, view_count, unique_views, logged_in, bots, first_viewed_at, last_viewed_at)
    VALUES `,
  update: ADD_TO_POST_DAYS.update,
}

const ADD_TO_MINUTES: Upsert = {
  insert: 'INSERT INTO site_view_minutes (minute, view_count) VALUES ',
  update: ADD_VIEWS,
}

const SAVE_PROGRESS: Upsert = {
  insert: 'INSERT INTO post_view_progress (id, last_committed_at, last_viewed_at) VALUES ',
  update: `ON DUPLICATE KEY UPDATE
    last_committed_at = VALUES(last_committed_at),
    last_viewed_at    = VALUES(last_viewed_at)`,
}

async function addCounts(client: MysqlClient, counts: BatchCounts): Promise<void> {
  await upsert(
    client,
    ADD_TO_REFERRERS,
    counts.referrers(),
    count => `(${postDay(count)},${quoted(count.host)},${count.views})`,
  )
  const postDays = counts.postDays()
  const { idOf, isKnown } = await knownPostDays(client, postDays)
  await upsert(
    client,
    ADD_TO_POST_DAYS,
    postDays,
    count =>
      `(${idOf(count)},${postDay(count)},${count.views},${count.unique},${count.loggedIn},${count.bots},${time(count.first)},${time(count.last)})`,
  )
  await upsert(client, ADD_TO_POSTS, counts.posts(isKnown), count => {
    const details =
      count.detailedViews === null
        ? 'NULL,NULL,NULL,NULL'
        : `${count.detailedViews},${count.unique},${count.loggedIn},${count.bots}`
    return `(${quoted(count.postUuid)},${count.views},${details},${time(count.first)},${time(count.last)})`
  })
  await upsert(
    client,
    ADD_TO_SITE_REFERRERS,
    counts.siteReferrers(),
    ({ day, host, views }) => `('${day}',${quoted(host)},${views})`,
  )
  await upsert(client, ADD_TO_MINUTES, counts.minutes(), ({ minute, views }) => `(${minute},${views})`)
  await upsert(
    client,
    ADD_TO_SITE_DAYS,
    counts.siteDays(),
    ({ day, views, unique, loggedIn, bots, first, last }) =>
      `('${day}',${views},${unique},${loggedIn},${bots},${time(first)},${time(last)})`,
  )
}

/**
 * The numbers of those rows of `post_view_aggregates` that there are, and whether all is known of a day. Written by its
 * number a row is found at once; without it, each upsert would use up a number of the table's, and cost half as much again.
 */
async function knownPostDays(
  client: MysqlClient,
  postDays: readonly PostDayCount[],
): Promise<{ idOf(count: PostDayCount): string; isKnown(count: PostDayCount): boolean }> {
  const ids = new Map<string, string>()
  const unknown = new Set<string>()
  for (const { texts } of partsOf(postDays, postDay, KEYS_AT_ONCE)) {
    const found = await client.all(
      `SELECT id, post_uuid, date, unique_views IS NULL AS is_unknown
       FROM post_view_aggregates
       WHERE (post_uuid, date) IN (${texts.map(text => `(${text})`).join()})`,
    )
    for (const row of found) {
      const key = postDay({ postUuid: String(row['post_uuid']), day: String(row['date']) })
      ids.set(key, String(row['id']))
      if (Number(row['is_unknown']) === 1) unknown.add(key)
    }
  }
  return {
    idOf: count => ids.get(postDay(count)) ?? 'NULL',
    isKnown: count => !unknown.has(postDay(count)),
  }
}

async function upsert<T>(
  client: MysqlClient,
  { insert, update }: Upsert,
  items: readonly T[],
  textOf: (item: T) => string,
): Promise<void> {
  for (const { texts } of partsOf(items, textOf, COUNTERS_AT_ONCE)) {
    await client.write(insert + texts.join() + update)
  }
}

interface Part<T> {
  items: readonly T[]
  texts: readonly string[]
}

/** Items with their texts, so many at a time that a statement of them stays short of what a server takes (16 MB). */
function* partsOf<T>(items: readonly T[], textOf: (item: T) => string, atOnce: number): Generator<Part<T>> {
  let from = 0
  while (from < items.length) {
    const texts: string[] = []
    let characters = 0
    while (from + texts.length < items.length && texts.length < atOnce && characters < STATEMENT_CHARACTERS) {
      const text = textOf(items[from + texts.length]!)
      texts.push(text)
      characters += text.length
    }
    yield { items: items.slice(from, from + texts.length), texts }
    from += texts.length
  }
}
