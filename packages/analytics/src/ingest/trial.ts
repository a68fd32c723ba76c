/** A view that nobody has sent, to try out what a batch needs: it touches every table of one, and is never kept. */

import { randomUUID } from 'node:crypto'
import type { View } from '@postviews/client/src/index.ts'
import { BotList, toRow, type ViewRow } from '../store/row.ts'
import { KeyReplaced, RowRejected, type Store } from '../store/store.ts'

/** Rehearsals take any key for the recorded one, so that none has to be made. */
const KEY = '0'.repeat(64)

/** The rows of some views for a rehearsal, under ids of their own: of one that is counted by now, nothing more would be tried. */
export function rehearsalRows(
  store: Pick<Store, 'calendar' | 'settings'>,
  views: readonly { view: View; receivedAt: number }[],
): ViewRow[] {
  const { calendar, settings } = store
  const { uniqueBy } = settings
  const context = { calendar, bots: new BotList(), uniqueBy, ipStorage: 'full', keyOf: () => KEY } as const
  return views.map(({ view, receivedAt }) =>
    toRow({ ...view, eventId: view.eventId && randomUUID() }, receivedAt, context),
  )
}

/**
 * Whether the store can do all that a batch needs.
 *
 * @param rows those that it could not keep before; by default one of a view of our own
 * @throws {StoreUnavailable} also {@link StoreBroken}
 * @throws {StoreRefused}
 */
export async function rehearse(store: Store, rows: readonly ViewRow[] = []): Promise<void> {
  try {
    await store.rehearse(rows.length > 0 ? rows : rehearsalRows(store, [ownView()]))
  } catch (error) {
    // The row is what is wrong, by a rule of the users' own, say, and not the store.
    if (!(error instanceof RowRejected || error instanceof KeyReplaced)) throw error
  }
}

function ownView(): { view: View; receivedAt: number } {
  const now = Math.floor(Date.now() / 1_000)
  const view: View = {
    eventId: randomUUID(),
    postUuid: randomUUID(),
    userId: '1',
    loggedIn: true,
    ip: '192.0.2.1',
    // Not a bot's, which may count for nothing.
    userAgent: null,
    referer: 'https://trial.invalid/',
    viewedAt: now,
    timeSource: 'receipt',
  }
  return { view, receivedAt: now }
}
