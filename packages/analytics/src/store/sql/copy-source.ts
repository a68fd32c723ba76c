/** What an SQL database hands over to another store. */

import { hash } from 'node:crypto'
import type { Day } from '../calendar.ts'
import { type CopiedFigures, type CopiedReader, type CopiedRow, type CopySource, OF_HOST } from '../copy.ts'
import { StoreRefused } from '../failures.ts'
import { UNKNOWN_VISITOR } from '../row.ts'
import { recordedLists } from './own-hosts.ts'
import { dayKeys, rowsAbout } from './rows.ts'
import { placeholders, SELECT_STATE, type SqlEngine, type SqlRow, type State, toState } from './sql.ts'

const ROWS_AT_ONCE = 5_000
/** As SQL: an adopted row of a day whose views are not those of its rows. */
const UNEXPLAINED =
  'CASE WHEN v.received_at IS NULL AND a.date IS NOT NULL AND a.unique_views IS NULL THEN 1 ELSE 0 END'

export async function copySource(engine: SqlEngine): Promise<CopySource> {
  const { reader } = engine
  const [row] = await reader.all(SELECT_STATE)
  const { settings, settingsSince, rawFrom, unknownUntil, adoptedAt } = toState(row!)
  const keys = await dayKeys(reader)
  return {
    settings,
    settingsSince,
    rawFrom,
    keys,
    ownHosts: await recordedLists(reader),
    rowsAbout: await rowsAbout(reader),
    rows: () => rows(engine, { adoptedAt, unknownUntil }),
    figures: () => figures(engine, rawFrom),
    readers: () => readers(engine, rawFrom, [...keys.keys()]),
  }
}

async function* rows(
  { reader, fromTime }: SqlEngine,
  { adoptedAt, unknownUntil }: Pick<State, 'adoptedAt' | 'unknownUntil'>,
): AsyncGenerator<CopiedRow[]> {
  for (let last = 0; ; ) {
    const page = await reader.all(
      `SELECT v.id, HEX(v.event_id) AS event, v.event_id IS NULL AS has_none, v.post_uuid, v.user_id, v.ip, v.user_agent, v.referer, v.viewed_at,
              v.received_at, v.day, v.slice, v.logged_in, v.bot, HEX(v.visitor) AS visitor, v.visitor IS NULL AS uncounted, v.referer_host,
              ${unknownUntil === null ? '0' : UNEXPLAINED} AS unexplained
       FROM post_views AS v
       ${unknownUntil === null ? '' : 'LEFT JOIN post_view_aggregates AS a ON a.post_uuid = v.post_uuid AND a.date = v.day'}
       WHERE v.id > ? ORDER BY v.id LIMIT ${ROWS_AT_ONCE}`,
      [last],
    )
    if (page.length === 0) return
    yield page.map(row => {
      if (Number(row['uncounted']) === 1 || row['day'] === null) {
        throw new StoreRefused(
          `row ${row['id']} was never counted: run \`postviews rebuild\` on that database first`,
        )
      }
      return toCopied(row, fromTime, adoptedAt)
    })
    last = Number(page.at(-1)!['id'])
  }
}

function toCopied(row: SqlRow, fromTime: SqlEngine['fromTime'], adoptedAt: number | null): CopiedRow {
  const text = (column: string) => (row[column] === null ? null : String(row[column]))
  const hasNone = Number(row['has_none']) === 1
  const eventId = hasNone ? null : asUuid(String(row['event']).toLowerCase())
  const viewedAt = fromTime(row['viewed_at'])
  const kept: CopiedRow['row'] = {
    eventId,
    postUuid: String(row['post_uuid']),
    userId: text('user_id'),
    ip: text('ip'),
    userAgent: text('user_agent'),
    referer: text('referer'),
    viewedAt,
    receivedAt: row['received_at'] === null ? (adoptedAt ?? viewedAt) : fromTime(row['received_at']),
    day: String(row['day']),
    slice: Number(row['slice']),
    loggedIn: Number(row['logged_in']) === 1,
    bot: Number(row['bot']) === 1,
    visitor: String(row['visitor']).toLowerCase(),
    refererHost: text('referer_host') ?? '',
  }
  const { userId, ip, userAgent, referer, visitor, loggedIn, refererHost } = kept
  // Nothing of its reader is left, and something was there.
  const isForgotten =
    (userId ?? ip ?? userAgent ?? referer) === null &&
    (visitor !== UNKNOWN_VISITOR || loggedIn || refererHost !== '')
  const id = eventId ?? asUuid(hash('sha256', `row ${row['id']}`).slice(0, 32))
  return {
    row: kept,
    id,
    hourTime: null,
    counts: null,
    isUnexplained: Number(row['unexplained']) === 1,
    isForgotten,
  }
}

function asUuid(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

async function* figures(
  { reader, fromTime }: SqlEngine,
  rawFrom: Day | null,
): AsyncGenerator<CopiedFigures[]> {
  const time = (value: unknown) => (value === null ? null : fromTime(value))
  const dates = await reader.all('SELECT DISTINCT date FROM post_view_aggregates ORDER BY date')
  for (const day of dates.map(row => String(row['date']))) {
    const posts = await reader.all(
      `SELECT post_uuid, view_count, unique_views, logged_in, bots, first_viewed_at, last_viewed_at
       FROM post_view_aggregates WHERE date = ?`,
      [day],
    )
    yield posts.map(row => ({
      kind: 'post',
      post: String(row['post_uuid']),
      day,
      host: '',
      views: Number(row['view_count']),
      isDetailed: row['unique_views'] !== null,
      unique_views: Number(row['unique_views']),
      logged_in: Number(row['logged_in']),
      bots: Number(row['bots']),
      first_viewed_at: time(row['first_viewed_at']),
      last_viewed_at: time(row['last_viewed_at']),
    }))
    if (rawFrom === null || day >= rawFrom) continue
    for (const [kind, table] of [
      ['referrer', 'post_view_referrers'],
      ['site_referrer', 'site_view_referrers'],
    ] as const) {
      const hosts = await reader.all(
        `SELECT ${kind === 'referrer' ? 'post_uuid' : "'' AS post_uuid"}, host, view_count FROM ${table} WHERE date = ?`,
        [day],
      )
      yield hosts.map(row => ({
        ...OF_HOST,
        kind,
        post: String(row['post_uuid']),
        day,
        host: String(row['host']),
        views: Number(row['view_count']),
      }))
    }
  }
}

async function* readers(
  { reader }: SqlEngine,
  rawFrom: Day | null,
  open: readonly Day[],
): AsyncGenerator<CopiedReader[]> {
  const days = open.filter(day => rawFrom !== null && day < rawFrom)
  if (days.length === 0) return
  const rows = await reader.all(
    `SELECT post_uuid, day, slice, HEX(visitor) AS visitor FROM post_view_visitors WHERE day IN (${placeholders(days.length)})`,
    days,
  )
  yield rows.map(row => ({
    post: String(row['post_uuid']),
    day: String(row['day']),
    slice: Number(row['slice']),
    visitor: String(row['visitor']).slice(0, 16),
  }))
}
