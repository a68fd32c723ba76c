/**
 * A view as a row. Its key (hour, post, id) depends only on what the publisher sent, so every insert of a view inserts the same
 * row. Of several rows with one key, the one with the greatest version is valid.
 */

import { randomUUID } from 'node:crypto'
import type { CountedBy } from '../bots-before.ts'
import type { CountingSettings } from '../counting-settings.ts'
import { RowRejected } from '../failures.ts'
import { type ColumnType, KEPT, KEPT_NAMES, type KeptName, type KeptRow, type KeptValue } from '../kept.ts'
import { isOwnKey, postKey } from './sql.ts'

const HOUR_SECONDS = 3_600
/** ClickHouse's DateTime ends in 2106. */
const LAST_SECOND = 2 ** 32 - 1

/** The hour of events with an id and without a time of their own: a redelivery could not repeat any other. */
export const NO_HOUR = 0

/**
 * The version of a row, from its highest bit down: whether it was forgotten (1 bit), the epoch of the settings (15) and the number
 * of the day's key (16) under which it was derived, and how early it was received (32). So a row that was derived again replaces
 * the earlier one, and redeliveries of both; a forgotten row replaces everything. A row that other lists derived again has the version of
 * one that was received a second earlier.
 */
export function versionOf(epoch: string, key: string, receivedAt: string, forgotten = '0'): string {
  const shifted = (value: string, bits: number) => `bitShiftLeft(toUInt64(${value}), ${bits})`
  return `bitOr(bitOr(${shifted(forgotten, 63)}, ${shifted(epoch, 48)}), bitOr(${shifted(key, 32)}, toUInt64(${LAST_SECOND} - ${receivedAt})))`
}

/** As SQL: parts of a version. */
export const IS_FORGOTTEN = 'bitShiftRight(version, 63)'
export const KEY_NUMBER = 'bitAnd(bitShiftRight(version, 32), 65535)'
export const RECEIVED = `(${LAST_SECOND} - bitAnd(version, ${LAST_SECOND}))`

/** Columns that are kept as they are. The others are part of a row's key and version, or kept in another form. */
const PLAIN_TYPES: Partial<Record<ColumnType, string>> = {
  text: 'String',
  digits: 'UInt64',
  flag: 'UInt8',
  number: 'UInt8',
}
export const PLAIN_NAMES = KEPT_NAMES.filter(
  name => name !== 'postUuid' && name !== 'slice' && KEPT[name].type in PLAIN_TYPES,
)
const PLAIN = PLAIN_NAMES.map(name => KEPT[name].column).join(', ')

/** The columns of `post_view_rows`. */
export const COLUMNS = `hour, post, id, version, has_id, post_name, viewed_at, received_at, committed_at, day, slice, counts, visitor, ${PLAIN}`

function plainType(name: KeptName): string {
  const type = PLAIN_TYPES[KEPT[name].type]!
  return KEPT[name].isNullable ? `Nullable(${type})` : type
}

/** The columns of a row that is read and inserted again: how it is read from `r`, and its type where it is sent. */
const DERIVED: Record<string, { sql?: string; type: string }> = {
  hour: { type: 'UInt32' },
  post: { type: 'UUID' },
  id: { type: 'UUID' },
  version: { sql: 'toString(r.version + 1)', type: 'UInt64' },
  has_id: { type: 'Bool' },
  post_name: { type: 'String' },
  viewed_at: { sql: 'toUnixTimestamp(r.viewed_at)', type: 'UInt32' },
  received_at: { sql: 'toUnixTimestamp(r.received_at)', type: 'UInt32' },
  committed_at: { sql: 'toUnixTimestamp64Milli(r.committed_at)', type: 'Int64' },
  day: { type: 'Date' },
  slice: { type: 'UInt8' },
  counts: { type: 'UInt8' },
  visitor: { sql: 'toString(r.visitor)', type: 'UInt64' },
  ...Object.fromEntries(
    PLAIN_NAMES.map(name => {
      const { column, type } = KEPT[name]
      // Numbers of more digits than a JavaScript number has are read as text.
      return [column, { ...(type === 'digits' && { sql: `toString(r.${column})` }), type: plainType(name) }]
    }),
  ),
}
export const DERIVED_COLUMNS = Object.keys(DERIVED)

/** As SQL, the columns of `r`, in a version that outranks it. */
export const SELECT_TO_DERIVE = Object.entries(DERIVED)
  .map(([column, { sql }]) => `${sql ?? `r.${column}`} AS ${column}`)
  .join(', ')

/** The insert of rows that were derived again. Refused once another agreement is recorded than the one by which they were. */
export function insertOfDerived(agreement: number): string {
  return `INSERT INTO post_view_rows (${DERIVED_COLUMNS.join(', ')})
    SELECT * REPLACE (fromUnixTimestamp64Milli(committed_at, 'UTC') AS committed_at)
    FROM input('${Object.entries(DERIVED)
      .map(([column, { type }]) => `${column} ${type}`)
      .join(', ')}')
    WHERE NOT throwIf((SELECT count() FROM post_view_agreed WHERE name = 'settings' AND number > ${agreement}) > 0, 'replaced')
    FORMAT JSONCompactEachRow`
}

/** The columns that are sent for a row. */
const STRUCTURE = [
  'hour UInt32, post UUID, id UUID, has_id Bool, post_name String, viewed_at UInt32, received_at UInt32, day Date, slice UInt8, key UInt16, digest String',
  ...PLAIN_NAMES.map(name => `${KEPT[name].column} ${plainType(name)}`),
].join(', ')

/**
 * The insert of rows. A row received before the cutoff of retention would count as one that is already in a base; only a wrong
 * clock can have received it, so it gets the cutoff as its time.
 *
 * @param refused as SQL: whether a setting or key under which the rows were derived was replaced
 */
export function insertOfRows(by: CountedBy, epoch: number, refused: string): string {
  return `INSERT INTO post_view_rows (${COLUMNS})
    SELECT hour, post, id, ${versionOf(String(epoch), 'key', 'received_at')} AS version, has_id, post_name, viewed_at,
           greatest(received_at, (SELECT toUInt32(max(number)) FROM post_view_agreed WHERE name = 'cutoff')) AS received_at,
           now64(3) AS committed_at, day, slice, ${countsBy(by)} AS counts, reinterpretAsUInt64(unhex(digest)) AS visitor, ${PLAIN}
    FROM input('${STRUCTURE}')
    WHERE NOT throwIf(${refused}, 'replaced')
    FORMAT JSONCompactEachRow`
}

/** The insert of rows that were counted elsewhere. Their `committed_at` is the time of receipt. */
export function insertOfCopied(by: CountedBy, epoch: number): string {
  const version = versionOf(String(epoch), 'key', 'received_at', 'is_forgotten')
  return `INSERT INTO post_view_rows (${COLUMNS})
    SELECT hour, post, id, ${version} AS version, had_id, post_name, viewed_at, received_at,
           toDateTime64(received_at, 3, 'UTC') AS committed_at, day, slice, if(counted < 0, ${countsBy(by)}, counted) AS counts,
           reinterpretAsUInt64(unhex(digest)) AS visitor, ${PLAIN}
    FROM input('${STRUCTURE}, had_id Bool, counted Int8, is_forgotten UInt8')
    FORMAT JSONCompactEachRow`
}

/** In `counts`: an adopted row that counts nowhere, because its day's views are not those of the rows; a base holds them. */
export const UNEXPLAINED = 2

/** As SQL: whether a row takes part in every number (1), or in `bots` alone (0). */
export function countsOf(bots: CountingSettings['bots']): string {
  return bots === 'exclude' ? '1 - bot' : '1'
}

/** As SQL: the same, by what the row's day is counted by. */
function countsBy({ settings, botsBefore }: CountedBy): string {
  const earlier = botsBefore.map(({ bots, before }) => `day < '${before}', ${countsOf(bots)}, `)
  const now = countsOf(settings.bots)
  return earlier.length === 0 ? now : `multiIf(${earlier.join('')}${now})`
}

/** The line of a row: a JSON array of what is sent. @throws {RowRejected} */
export function lineOf(row: KeptRow, ownTime: number | null, keyNumber: number): string {
  const { eventId, postUuid, viewedAt, receivedAt } = row
  if (viewedAt > LAST_SECOND || receivedAt > LAST_SECOND || viewedAt < 0 || receivedAt < 0) {
    throw new RowRejected('ClickHouse stores only times from 1970 to February 2106')
  }
  const isPostUuid = isOwnKey(postUuid)
  const place = `${hourOf(row, ownTime)},"${isPostUuid ? postUuid : postKey(postUuid)}","${eventId ?? randomUUID()}",${eventId !== null}`
  const plain = PLAIN_NAMES.map(name => json(row[name], KEPT[name].type)).join()
  return `[${place},${isPostUuid ? '""' : JSON.stringify(postUuid)},${viewedAt},${receivedAt},"${row.day}",${row.slice},${keyNumber},"${row.visitor.slice(0, 16)}",${plain}]`
}

function json(value: KeptValue, type: ColumnType): string {
  if (value === null) return 'null'
  if (type === 'flag') return value ? '1' : '0'
  return type === 'digits' || type === 'number' ? String(value) : JSON.stringify(value)
}

function hourOf({ eventId, viewedAt }: KeptRow, ownTime: number | null): number {
  if (ownTime !== null) return Math.floor(ownTime / HOUR_SECONDS)
  return eventId === null ? Math.floor(viewedAt / HOUR_SECONDS) : NO_HOUR
}
