/** The referring hosts of a store, as `/referrers` answers them by default. */

import assert from 'node:assert/strict'
import { answerOf, referrersOf } from '../../packages/analytics/src/api/breakdowns.ts'
import type { Day } from '../../packages/analytics/src/store/days.ts'
import type { Store } from '../../packages/analytics/src/store/store.ts'

export async function referrersIn(
  store: Pick<Store, 'breakdown' | 'ownHosts' | 'settings'>,
  post: string | null,
  from: Day,
  to: Day,
  limit: number,
  offset = 0,
) {
  const dimension = 'referrer'
  const found = await store.breakdown(dimension, post, from, to)
  const { bots } = store.settings
  const ownHosts = await store.ownHosts()
  const answer = answerOf(found, { dimension, bots, who: undefined, limit, offset, ownHosts })
  const { referrers, other } = referrersOf(answer)
  assert.notEqual(other.views, null)
  return { referrers, other: { views: other.views! } }
}
