/**
 * The posts that people read most: first those that stand out now, then those with most views in seven days. They are asked for
 * in the background, so no page waits for Analytics, and its key stays in this process.
 */

import { StatsError } from '@postviews/client/src/index.ts'
import type { Logger } from 'pino'
import type { Post } from './posts.ts'
import type { AskedStats } from './statistics.ts'

const SHOWN = 5
/** How long a list is shown. */
const HOLDS_MS = 60_000
/** So long after the last answer a list is no longer what people read now. */
const STALE_MS = 3_600_000

/** Returns the list as it is known now: empty until the first answer, and once the last one is too old. */
export function createMostRead(
  stats: Pick<AskedStats, 'trendingPosts' | 'topPosts'>,
  posts: readonly Post[],
  log: Logger,
): () => readonly Post[] {
  let list: readonly Post[] = []
  let askedMs = Number.NEGATIVE_INFINITY
  let answeredMs = Number.NEGATIVE_INFINITY

  async function ask(): Promise<void> {
    try {
      const [trending, top] = await Promise.all([
        stats.trendingPosts({ limit: SHOWN }),
        stats.topPosts({ period: '7d', who: 'people', limit: SHOWN }),
      ])
      const ids = new Set([...trending.posts, ...top.posts].map(({ post_uuid: id }) => id))
      list = [...ids].flatMap(id => posts.find(post => post.id === id) ?? []).slice(0, SHOWN)
      answeredMs = performance.now()
    } catch (error) {
      if (!(error instanceof StatsError)) throw error
      log.warn({ error: error.message }, 'stats.unavailable')
    }
  }

  return () => {
    const nowMs = performance.now()
    if (nowMs - askedMs > HOLDS_MS) {
      askedMs = nowMs
      void ask()
    }
    return nowMs - answeredMs > STALE_MS ? [] : list
  }
}
