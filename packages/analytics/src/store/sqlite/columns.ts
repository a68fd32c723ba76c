/**
 * Rows on their way from one thread to the other, by column: copied so, a batch takes a third of the time, on either
 * side, that it takes row by row with all its names.
 */

import type { KeptRow } from '../row.ts'

export type Columns = { readonly [Name in keyof KeptRow]: readonly KeptRow[Name][] }

export function toColumns(rows: readonly KeptRow[]): Columns {
  return {
    eventId: rows.map(row => row.eventId),
    postUuid: rows.map(row => row.postUuid),
    userId: rows.map(row => row.userId),
    ip: rows.map(row => row.ip),
    userAgent: rows.map(row => row.userAgent),
    referer: rows.map(row => row.referer),
    viewedAt: rows.map(row => row.viewedAt),
    receivedAt: rows.map(row => row.receivedAt),
    day: rows.map(row => row.day),
    slice: rows.map(row => row.slice),
    loggedIn: rows.map(row => row.loggedIn),
    bot: rows.map(row => row.bot),
    visitor: rows.map(row => row.visitor),
    refererHost: rows.map(row => row.refererHost),
  }
}

/** Made one at a time, when asked for: none lives long enough to be moved out of the young generation. */
export function rowAt(columns: Columns, index: number): KeptRow {
  return {
    eventId: columns.eventId[index]!,
    postUuid: columns.postUuid[index]!,
    userId: columns.userId[index]!,
    ip: columns.ip[index]!,
    userAgent: columns.userAgent[index]!,
    referer: columns.referer[index]!,
    viewedAt: columns.viewedAt[index]!,
    receivedAt: columns.receivedAt[index]!,
    day: columns.day[index]!,
    slice: columns.slice[index]!,
    loggedIn: columns.loggedIn[index]!,
    bot: columns.bot[index]!,
    visitor: columns.visitor[index]!,
    refererHost: columns.refererHost[index]!,
  }
}
