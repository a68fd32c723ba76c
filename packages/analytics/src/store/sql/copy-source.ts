/** What an SQL database hands over to another store. */

import { hash } from 'node:crypto'
import { SITE } from '../bounds.ts'
import {
  type CopiedFigures,
  type CopiedReader,
  type CopiedRow,
  type CopySource,
  copiedValue,
} from '../copy.ts'
import type { Day } from '../days.ts'
import { StoreRefused } from '../failures.ts'
import { eachDetail } from '../figures.ts'
import { KEPT, KEPT_NAMES, type KeptName, type KeptRow, type KeptValue, PERSONAL_NAMES } from '../kept.ts'
import type { Pack } from '../pack.ts'
import { UNKNOWN_VISITOR } from '../row.ts'
import { packsOfGoneDay } from './breakdown-compare.ts'
import { DAY_COLUMNS } from './figure-columns.ts'
import { recordedLists } from './own-hosts.ts'
import { dayKeys, rowsAbout } from './rows.ts'
import {
  type Dialect,
  figure,
  placeholders,
  SELECT_STATE,
  type SqlEngine,
  type SqlRow,
  type State,
  toState,
} from './sql.ts'

const ROWS_AT_ONCE = 5_000
/** As SQL: whether the row is adopted and the views of its day do not match its rows. */
const UNEXPLAINED =
  'CASE WHEN v.received_at IS NULL AND a.date IS NOT NULL AND a.unique_views IS NULL THEN 1 ELSE 0 END'

export async function copySource(engine: SqlEngine): Promise<CopySource> {
  const { reader } = engine
  const [row] = await reader.all(SELECT_STATE)
  const { settings, botsBefore, settingsSince, rawFrom, unknownUntil, adoptedAt } = toState(row!)
  const keys = await dayKeys(reader)
  return {
    settings,
    botsBefore,
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
      `SELECT v.id, ${KEPT_NAMES.map(name => selected(name, reader.dialect)).join(', ')},
              ${unknownUntil === null ? '0' : UNEXPLAINED} AS unexplained
       FROM post_views AS v
       ${unknownUntil === null ? '' : 'LEFT JOIN post_view_aggregates AS a ON a.post_uuid = v.post_uuid AND a.date = v.day'}
       WHERE v.id > ? ORDER BY v.id LIMIT ${ROWS_AT_ONCE}`,
      [last],
    )
    if (page.length === 0) return
    yield page.map(row => {
      if (Number(row['no_visitor']) === 1 || row['day'] === null) {
        throw new StoreRefused(
          `row ${row['id']} was never counted: run \`postviews rebuild\` on that database first`,
        )
      }
      return toCopied(row, fromTime, adoptedAt)
    })
    last = Number(page.at(-1)!['id'])
  }
}

/** Selects a column of bytes as hex digits, and separately whether it is null, because SQLite turns null into ''. */
function selected(name: KeptName, dialect: Dialect): string {
  const { column, type } = KEPT[name]
  return type === 'uuid' || type === 'hash'
    ? `${dialect.hex(`v.${column}`)} AS ${column}, v.${column} IS NULL AS no_${column}`
    : `v.${column}`
}

function keptValue(name: KeptName, row: SqlRow, fromTime: SqlEngine['fromTime']): KeptValue {
  const { column, type } = KEPT[name]
  const value = row[column]
  const isBytes = type === 'uuid' || type === 'hash'
  if (value === null || (isBytes && Number(row[`no_${column}`]) === 1)) return null
  if (type === 'uuid') return asUuid(String(value).toLowerCase())
  if (type === 'hash') return String(value).toLowerCase()
  if (type === 'time') return fromTime(value)
  if (type === 'flag') return Number(value) === 1
  return type === 'number' ? Number(value) : String(value)
}

function toCopied(row: SqlRow, fromTime: SqlEngine['fromTime'], adoptedAt: number | null): CopiedRow {
  const found = Object.fromEntries(KEPT_NAMES.map(name => [name, keptValue(name, row, fromTime)]))
  // Adopted rows have neither a time of receipt nor a host.
  found['receivedAt'] ??= adoptedAt ?? found['viewedAt']!
  found['refererHost'] ??= ''
  const kept = found as unknown as KeptRow
  // No personal field is left, and there was one before.
  const isForgotten =
    PERSONAL_NAMES.every(name => kept[name] === null) &&
    (kept.visitor !== UNKNOWN_VISITOR || kept.loggedIn || kept.refererHost !== '')
  return {
    row: kept,
    id: kept.eventId ?? asUuid(hash('sha256', `row ${row['id']}`).slice(0, 32)),
    hourTime: null,
    counts: null,
    isUnexplained: Number(row['unexplained']) === 1,
    isForgotten,
  }
}

function asUuid(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

async function* figures(engine: SqlEngine, rawFrom: Day | null): AsyncGenerator<CopiedFigures[]> {
  const { reader, fromTime } = engine
  const time = (value: unknown) => (value === null ? null : fromTime(value))
  const dates = await reader.all('SELECT DISTINCT date FROM post_view_aggregates ORDER BY date')
  for (const day of dates.map(row => String(row['date']))) {
    const posts = await reader.all(
      `SELECT post_uuid, ${DAY_COLUMNS.join(', ')}
       FROM post_view_aggregates WHERE date = ?`,
      [day],
    )
    yield posts.map(row => ({
      kind: 'post',
      post: String(row['post_uuid']),
      day,
      dimension: '',
      value: '',
      views: Number(row['view_count']),
      isDetailed: row['unique_views'] !== null,
      ...eachDetail(name => figure(row[name])),
      first_viewed_at: time(row['first_viewed_at']),
      last_viewed_at: time(row['last_viewed_at']),
    }))
    if (rawFrom === null || day >= rawFrom) continue
    for await (const packs of packsOfGoneDay(engine, day)) {
      yield packs.flatMap(({ post, pack }) => valuesOf(post, day, pack))
    }
  }
}

function valuesOf(post: string, day: Day, pack: Pack): CopiedFigures[] {
  const kind = post === SITE ? 'site_value' : 'value'
  return [...pack.breakdowns].flatMap(([dimension, breakdown]) =>
    [...breakdown.entries()].map(([value, views]) =>
      copiedValue({ kind, post, day, dimension, value }, views),
    ),
  )
}

async function* readers(
  { reader }: SqlEngine,
  rawFrom: Day | null,
  open: readonly Day[],
): AsyncGenerator<CopiedReader[]> {
  const days = open.filter(day => rawFrom !== null && day < rawFrom)
  if (days.length === 0) return
  const rows = await reader.all(
    `SELECT post_uuid, day, slice, seen, ${reader.dialect.hex('visitor')} AS visitor FROM post_view_visitors WHERE day IN (${placeholders(days.length)})`,
    days,
  )
  yield rows.map(row => ({
    post: String(row['post_uuid']),
    day: String(row['day']),
    slice: Number(row['slice']),
    visitor: String(row['visitor']).slice(0, 16),
    seen: Number(row['seen']),
  }))
}
