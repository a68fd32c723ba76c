/** Reads a page of a whole list of values, of the site or of a post. */

import type { DimensionName } from '@postviews/client/src/figures.ts'
import type { Stats } from '@postviews/client/src/index.ts'
import type { Loaded } from './answers.ts'
import { readPageOfValues } from './breakdowns.ts'
import { countingOf, oldest, readCalendar, readNumbers } from './numbers.ts'
import type { WholeList } from './pages/model.ts'
import { isOfMachines, type Question } from './pages/question.ts'
import type { Posts } from './posts.ts'
import { subjectOf } from './subject.ts'

/**
 * @param id as `canonicalPost` gives it; null: the site
 * @throws {StatsError}
 */
export async function readWholeList(
  stats: Stats,
  posts: Posts,
  { id, dimension }: { id: string | null; dimension: DimensionName },
  asked: Question,
): Promise<Loaded<WholeList>> {
  const question: Question = isOfMachines(dimension) ? { ...asked, who: 'bots' } : asked
  const [calendar, { names, from }] = await Promise.all([
    readCalendar(stats, question),
    posts.names(id === null ? [] : [id]),
  ])
  const { trend, ranges, asOf } = await readNumbers(stats, posts, calendar, { post: id, question, cards: [] })
  const told =
    ranges.period.from > calendar.today
      ? null
      : await readPageOfValues(subjectOf(stats, id), dimension, ranges.period, question)
  return {
    asOf: oldest(asOf, told?.asOf ?? asOf),
    data: {
      name: id === null ? null : (names.get(id) ?? null),
      names: from,
      trend,
      lists: {},
      list: told?.list ?? { dimension, rows: [], views: null, total: 0, since: null },
      mostViews: told?.mostViews ?? 0,
      ...countingOf(calendar, trend),
    },
  }
}
