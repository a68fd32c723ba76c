/**
 * Opens a closed day again: its views are accepted again, and readers who were counted on it must not count as unique a second
 * time. Their hashes mean nothing under the day's new key, so the rows are hashed again and the list of visitors is rebuilt, in
 * small steps. A process may end between two steps; any other process continues.
 *
 * | stage | what is done | batches |
 * |---|---|---|
 * | `visitors` | removes what an interrupted retention has left of the old list | count all of the day's views, but do not list their readers and count none as unique |
 * | `erased` | notes the readers of rows that lost their address | the same |
 * | `addressed` | finds the hashes of those readers under the new key, from other rows of theirs | the same |
 * | `rows` | hashes again the rows that existed when it began, and lists their readers: these were counted before | the same |
 * | `noted` | removes what the second stage has noted | the same |
 * | `late` | lists the readers of the rows that came since, and counts those who are new | list and count readers themselves |
 *
 * The last step marks the day as open in its own transaction. Every step is exclusive: no batch is recorded meanwhile. A reader
 * without any remaining address keeps the old hash, and counts once more when coming back; so do all readers of a day that was
 * counted under other settings.
 */

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { settingsDiffer } from '../agreement.ts'
import { settingsOn } from '../bots-before.ts'
import { Calendar } from '../calendar.ts'
import type { Day } from '../days.ts'
import { UNKNOWN_VISITOR, visitorOf } from '../row.ts'
import type { Progress, Reopened } from '../store.ts'
import { giveUpLease, holdLease } from './lease.ts'
import { AROUND_SECONDS } from './recount.ts'
import { type Place, placeOf, rowsByTime } from './rows-by-time.ts'
import { figure, placeholders, type SqlClient, type SqlEngine, type SqlRow, type State } from './sql.ts'
import { groupsOf, Pace } from './steps.ts'
import { raiseRebuilds } from './turn.ts'
import { dropVisitors, listAndCountReaders, listReaders } from './visitors.ts'

type Stage = 'visitors' | 'erased' | 'addressed' | 'rows' | 'noted' | 'late'

/** A day that is being opened again, and its progress. */
interface Reopening {
  day: Day
  secret: string
  stage: Stage
  /** The last row that the stage covers. */
  rowsUntil: number
  /** The last row that the stage has processed: by time; in the stage `late` by id alone. */
  place: Place | null
}

/** Short, so that others need not wait long for a process that died. */
const LEASE_SECONDS = 30
const IDS_AT_ONCE = 500
/** Two releases of zone rules differ by at most this much about the beginning of a day. */
const ZONE_RULES_DIFFER_SECONDS = 3 * 3_600
const WAIT_MS = 500
/** Most rows of a day that is opened while a batch waits for it. */
const SMALL_ROWS = 1_000

export async function beginReopening(client: SqlClient, day: Day): Promise<void> {
  // A process that is about to correct the day's list of readers has read the old list: its look is void now.
  await raiseRebuilds(client)
  await client.run(`UPDATE post_view_day_keys SET reopening = 'visitors', rows_until = ? WHERE day = ?`, [
    await lastId(client),
    day,
  ])
}

/** Opens the day completely if it is small, in the present transaction: each stage then takes one step. */
export async function reopenIfSmall(
  engine: SqlEngine,
  client: SqlClient,
  state: State,
  day: Day,
): Promise<void> {
  let before: Stage | null = null
  let at = await reopeningOf(client, day)
  while (at !== null && at.stage !== before) {
    before = at.stage
    at = await step(engine, client, state, at, SMALL_ROWS)
  }
}

export async function daysBeingReopened(client: SqlClient): Promise<Day[]> {
  const rows = await client.all('SELECT day FROM post_view_day_keys WHERE reopening IS NOT NULL ORDER BY day')
  return rows.map(row => String(row['day']))
}

export async function reopenDays(engine: SqlEngine, progress: Progress = () => {}): Promise<Reopened> {
  const holder = randomUUID()
  const paceOf = pacesOfStages()
  const days: Day[] = []
  let rowsDone = 0
  let isHolder = false
  try {
    for (;;) {
      const [day] = await daysBeingReopened(engine.reader)
      if (day === undefined) return { days, isDone: true }
      const done = await engine.exclusive(async (client, state) => {
        const now = Math.floor(Date.now() / 1_000)
        if (!(await holdLease(client, 'reopen', holder, now, LEASE_SECONDS))) return 'by another'
        const at = await reopeningOf(client, day)
        if (at === null) return 'nothing'
        return paceOf(at.stage).step(async rows => {
          rowsDone += rows
          return (await step(engine, client, state, at, rows)) === null ? 'all' : 'some'
        })
      })
      if (done === 'by another') return { days, isDone: false }
      isHolder = true
      if (done === 'all') days.push(day)
      progress('rows of days opened again', rowsDone, rowsDone)
    }
  } finally {
    if (isHolder) await giveUpLease(engine, 'reopen', holder)
  }
}

/**
 * Runs exclusive work while no day is being opened again; it finishes those that are first. For work that changes the addresses
 * or the hashes of rows, or the settings by which they are hashed.
 */
export async function untilNoneIsReopened<T>(
  engine: SqlEngine,
  progress: Progress,
  work: (client: SqlClient, state: State) => Promise<T>,
): Promise<T> {
  for (;;) {
    const outcome = await engine.exclusive(async (client, state) =>
      (await daysBeingReopened(client)).length > 0 ? null : { value: await work(client, state) },
    )
    if (outcome !== null) return outcome.value
    if (!(await reopenDays(engine, progress)).isDone) await sleep(WAIT_MS)
    progress('waiting for days to be opened again', 0, 1)
  }
}

/** A pace for each stage: what is quick in one stage is slow in another. */
function pacesOfStages(): (stage: Stage) => Pace {
  const paces = new Map<Stage, Pace>()
  return stage => {
    const pace = paces.get(stage) ?? new Pace()
    paces.set(stage, pace)
    return pace
  }
}

async function reopeningOf(client: SqlClient, day: Day): Promise<Reopening | null> {
  const [row] = await client.all(
    `SELECT secret, reopening, rows_until, walked_time, walked_id
     FROM post_view_day_keys
     WHERE day = ? AND reopening IS NOT NULL`,
    [day],
  )
  if (row === undefined) return null
  const time = figure(row['walked_time'])
  return {
    day,
    secret: String(row['secret']),
    stage: row['reopening'] as Stage,
    rowsUntil: Number(row['rows_until']),
    place: time === null ? null : { time, id: Number(row['walked_id']) },
  }
}

/** The engine as rows were counted: a process that adopts other settings opens days by the recorded ones. */
function asRecorded(engine: SqlEngine, { settings }: State): SqlEngine {
  const { rules } = engine.calendar
  if (settingsDiffer(settings, engine) === null || rules.zone(settings.timeZone) === null) return engine
  return { ...engine, settings, calendar: new Calendar(settings.timeZone, settings.windowHours, rules) }
}

/** Takes one step of about `rows` rows. Returns the day's new progress; null when it is open. */
async function step(
  own: SqlEngine,
  client: SqlClient,
  state: State,
  at: Reopening,
  rows: number,
): Promise<Reopening | null> {
  const { day } = at
  const recorded = asRecorded(own, state)
  const engine = { ...recorded, settings: settingsOn({ ...state, settings: recorded.settings }, day) }
  // What was counted under other settings stays as it is.
  const isFrozen = state.settingsSince !== null && day < state.settingsSince
  switch (at.stage) {
    case 'visitors':
      if (await dropVisitors(client, day, rows)) return at
      return enter(client, at, isFrozen ? 'rows' : 'erased')
    case 'erased':
      return walk(engine, client, state, at, rows, {
        work: ids => noteErased(client, ids),
        next: async () => ((await anyNoted(client, day)) ? 'addressed' : 'rows'),
      })
    case 'addressed':
      return walk(engine, client, state, at, rows, {
        work: ids => findNoted(engine, client, at, ids),
        next: async () => 'rows',
      })
    case 'rows':
      return walk(engine, client, state, at, rows, {
        async work(ids) {
          if (!isFrozen) await hashAgain(engine, client, at, ids)
          await listReaders(client, engine.settings, at.day, ids)
        },
        next: async () => ((await anyNoted(client, day)) ? 'noted' : 'late'),
      })
    case 'noted':
      if (await dropNoted(client, day, rows)) return at
      return enter(client, at, 'late')
    case 'late':
      return listLate(engine, client, at, rows)
  }
}

async function enter(client: SqlClient, at: Reopening, stage: Stage): Promise<Reopening> {
  // From this moment on batches list their readers themselves, so later rows need no processing.
  const isLate = stage === 'late'
  const rowsUntil = isLate ? await lastId(client) : at.rowsUntil
  const place = isLate ? { time: 0, id: at.rowsUntil } : null
  await client.run(
    `UPDATE post_view_day_keys SET reopening = ?, rows_until = ?, walked_time = ?, walked_id = ? WHERE day = ?`,
    [stage, rowsUntil, place?.time ?? null, place?.id ?? 0, at.day],
  )
  return { ...at, stage, rowsUntil, place }
}

async function moveTo(client: SqlClient, at: Reopening, place: Place): Promise<Reopening> {
  await client.run('UPDATE post_view_day_keys SET walked_time = ?, walked_id = ? WHERE day = ?', [
    place.time,
    place.id,
    at.day,
  ])
  return { ...at, place }
}

/** Processes the next rows, up to the last one that was there when the reopening began. After that one, the next stage begins. */
async function walk(
  engine: SqlEngine,
  client: SqlClient,
  { settingsSince }: State,
  at: Reopening,
  count: number,
  { work, next }: { work(ids: readonly number[]): Promise<void>; next(): Promise<Stage> },
): Promise<Reopening> {
  const { start, end } = engine.calendar.bounds(at.day)
  // A row may lie on a day far from its time only if other settings were in force before.
  const around =
    settingsSince !== null && at.day <= settingsSince ? AROUND_SECONDS : ZONE_RULES_DIFFER_SECONDS
  const rows = await rowsByTime(
    engine,
    client,
    { from: start - around, to: end + around },
    { after: at.place, count, columns: 'day' },
  )
  const ids = rows.filter(isOf(at.day)).map(row => Number(row['id']))
  const before = ids.filter(id => id <= at.rowsUntil)
  for (const some of groupsOf(before, IDS_AT_ONCE)) await work(some)
  if (rows.length < count) return enter(client, at, await next())
  return moveTo(client, at, placeOf(engine, rows.at(-1)!))
}

function isOf(day: Day): (row: SqlRow) => boolean {
  return row => row['day'] === day
}

async function noteErased(client: SqlClient, ids: readonly number[]): Promise<void> {
  await client.run(
    `INSERT INTO post_view_reopened (day, old_visitor)
     SELECT DISTINCT post_views.day, post_views.visitor
     FROM post_views
     LEFT JOIN post_view_reopened AS noted
       ON noted.day = post_views.day AND noted.old_visitor = post_views.visitor
     WHERE post_views.id IN (${ids.join()})
       AND post_views.ip IS NULL AND post_views.visitor <> ${client.dialect.bytes(UNKNOWN_VISITOR)} AND noted.day IS NULL`,
  )
}

async function anyNoted(client: SqlClient, day: Day): Promise<boolean> {
  return (await client.all('SELECT day FROM post_view_reopened WHERE day = ? LIMIT 1', [day])).length > 0
}

async function findNoted(
  { settings }: SqlEngine,
  client: SqlClient,
  { day, secret }: Reopening,
  ids: readonly number[],
): Promise<void> {
  const rows = await client.all(
    `SELECT post_views.ip, post_views.user_agent, ${client.dialect.hex('post_views.visitor')} AS visitor
     FROM post_views
     JOIN post_view_reopened AS noted
       ON noted.day = post_views.day AND noted.old_visitor = post_views.visitor
     WHERE post_views.id IN (${ids.join()}) AND post_views.ip IS NOT NULL AND noted.new_visitor IS NULL`,
  )
  const visitors = new Map(
    rows.map(row => [
      String(row['visitor']),
      visitorOf(secret, settings.uniqueBy, String(row['ip']), text(row['user_agent'])),
    ]),
  )
  for (const [before, now] of visitors) {
    await client.run(
      `UPDATE post_view_reopened SET new_visitor = ${client.dialect.bytes(now)} WHERE day = ? AND old_visitor = ${client.dialect.bytes(before)}`,
      [day],
    )
  }
}

async function hashAgain(
  { settings }: SqlEngine,
  client: SqlClient,
  { secret }: Reopening,
  ids: readonly number[],
): Promise<void> {
  const { bytes, hex, unhex } = client.dialect
  const rows = await client.all(
    `SELECT post_views.id, post_views.ip, post_views.user_agent,
            LOWER(${hex('post_views.visitor')}) AS visitor, LOWER(${hex('noted.new_visitor')}) AS noted
     FROM post_views
     LEFT JOIN post_view_reopened AS noted
       ON noted.day = post_views.day AND noted.old_visitor = post_views.visitor
     WHERE post_views.id IN (${ids.join()}) AND post_views.visitor <> ${bytes(UNKNOWN_VISITOR)}`,
  )
  const changes: [id: number, visitor: string][] = []
  for (const row of rows) {
    const visitor =
      row['ip'] === null
        ? // SQLite turns null into empty hex digits.
          text(row['noted']) || String(row['visitor'])
        : visitorOf(secret, settings.uniqueBy, String(row['ip']), text(row['user_agent']))
    if (visitor !== row['visitor']) changes.push([Number(row['id']), visitor])
  }
  if (changes.length === 0) return
  await client.run(
    `UPDATE post_views
     SET visitor = CASE id ${changes.map(() => `WHEN ? THEN ${unhex('?')}`).join(' ')} END, viewed_at = viewed_at
     WHERE id IN (${placeholders(changes.length)})`,
    [...changes.flat(), ...changes.map(([id]) => id)],
  )
}

async function dropNoted(client: SqlClient, day: Day, rows: number): Promise<boolean> {
  const [edge] = await client.all(
    `SELECT ${client.dialect.hex('old_visitor')} AS visitor FROM post_view_reopened
     WHERE day = ?
     ORDER BY old_visitor
     LIMIT 1 OFFSET ?`,
    [day, rows],
  )
  const upTo = edge === undefined ? '' : `AND old_visitor < ${client.dialect.bytes(String(edge['visitor']))}`
  await client.run(`DELETE FROM post_view_reopened WHERE day = ? ${upTo}`, [day])
  return edge !== undefined
}

async function listLate(
  engine: SqlEngine,
  client: SqlClient,
  at: Reopening,
  count: number,
): Promise<Reopening | null> {
  const rows = await client.all(
    'SELECT id, day FROM post_views WHERE id > ? AND id <= ? ORDER BY id LIMIT ?',
    [at.place!.id, at.rowsUntil, count],
  )
  const ids = rows.filter(isOf(at.day)).map(row => Number(row['id']))
  for (const some of groupsOf(ids, IDS_AT_ONCE)) {
    await listAndCountReaders(client, engine.settings, at.day, some)
  }
  if (rows.length === count) return moveTo(client, at, { time: 0, id: Number(rows.at(-1)!['id']) })
  await client.run(
    `UPDATE post_view_day_keys SET reopening = NULL, rows_until = 0, walked_time = NULL, walked_id = 0 WHERE day = ?`,
    [at.day],
  )
  return null
}

async function lastId(client: SqlClient): Promise<number> {
  const [row] = await client.all('SELECT MAX(id) AS last FROM post_views')
  return figure(row!['last']) ?? 0
}

function text(value: unknown): string | null {
  return value === null ? null : String(value)
}
