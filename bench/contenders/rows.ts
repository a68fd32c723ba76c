/** Views and rows as the service creates them, for contenders that start from there. */

import { decodeMessage } from '@postviews/client/src/index.ts'
import { Who } from '../../packages/analytics/src/derive/who.ts'
import { Calendar } from '../../packages/analytics/src/store/calendar.ts'
import type { Day } from '../../packages/analytics/src/store/days.ts'
import type { KeptRow } from '../../packages/analytics/src/store/kept.ts'
import { toRow } from '../../packages/analytics/src/store/row.ts'
import type { ReceivedView } from '../../packages/analytics/src/store/store.ts'
import type { BenchEvent } from '../events.ts'

/** Received a second after it happened, and accepted whatever its age. */
export function viewsOf(event: BenchEvent): ReceivedView[] {
  const receivedAt = Math.floor(Date.parse(event.timestamp) / 1_000) + 1
  const body = Buffer.from(JSON.stringify(event))
  const { views } = decodeMessage(body, {}, { receivedAt, maxAgeSeconds: Number.POSITIVE_INFINITY })
  return views.map(view => ({ view, receivedAt }))
}

export function rowMaker(keyOf: (day: Day) => string): (event: BenchEvent) => KeptRow[] {
  const context = {
    calendar: new Calendar('UTC', 24),
    who: new Who({ countries: null, ownHosts: [] }),
    uniqueBy: 'ip',
    ipStorage: 'full',
    keyOf,
  } as const
  return event => viewsOf(event).map(({ view, receivedAt }) => toRow(view, receivedAt, context))
}
