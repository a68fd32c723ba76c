/** Reads what the page of a post shows. */

import type { Stats } from '@postviews/client/src/index.ts'
import type { Loaded } from './answers.ts'
import { countingOf, oldest, readCalendar, readNumbers } from './numbers.ts'
import type { Post } from './pages/model.ts'
import type { Question } from './pages/question.ts'
import type { Posts } from './posts.ts'

/**
 * @param id as `canonicalPost` gives it
 * @throws {StatsError}
 */
export async function readPost(
  stats: Stats,
  posts: Posts,
  id: string,
  question: Question,
): Promise<Loaded<Post>> {
  const [calendar, total, chosen, { names, from }] = await Promise.all([
    readCalendar(stats, question),
    stats.postViews(id),
    stats.postViews(id, { who: question.who }),
    posts.names([id]),
  ])
  const { trend, lists, asOf } = await readNumbers(stats, posts, calendar, {
    post: id,
    question,
    cards: ['sources', 'places', 'devices'],
  })
  const { first_viewed_at, last_viewed_at } = total
  return {
    asOf: oldest(total.as_of, chosen.as_of, asOf),
    data: {
      name: names.get(id) ?? null,
      names: from,
      // Times are kept of all views alone.
      total: { views: chosen.views, first_viewed_at, last_viewed_at },
      trend,
      lists,
      ...countingOf(calendar, trend, first_viewed_at),
    },
  }
}
