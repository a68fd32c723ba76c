/** Reads what machines read, and what readers AI sends. */

import type { Stats } from '@postviews/client/src/index.ts'
import type { Loaded } from './answers.ts'
import { topRows } from './lists.ts'
import { countingOf, oldest, readCalendar, readNumbers } from './numbers.ts'
import type { AiTrend, Machines } from './pages/model.ts'
import type { DayRange, Question } from './pages/question.ts'
import type { Posts } from './posts.ts'
import { inOneCall } from './subject.ts'

/** @throws {StatsError} */
export async function readMachines(stats: Stats, posts: Posts, asked: Question): Promise<Loaded<Machines>> {
  const question: Question = { ...asked, who: 'bots' }
  const calendar = await readCalendar(stats, question)
  const { trend, lists, ranges, asOf } = await readNumbers(stats, posts, calendar, {
    post: null,
    question,
    cards: ['machines', 'purposes'],
  })
  const isToCome = ranges.period.from > calendar.today
  const [list, ai] = await Promise.all([
    isToCome ? null : topRows(stats, posts, { ...question, ranges, today: calendar.today }, question.page),
    isToCome ? null : readAi(stats, ranges.shown),
  ])
  return {
    asOf: oldest(asOf, ...[list?.asOf, ai?.asOf].filter(time => time !== undefined)),
    data: {
      trend,
      lists,
      posts: list?.posts ?? [],
      totalPosts: list?.totalPosts ?? 0,
      mostViews: list?.mostViews ?? 0,
      hasChange: ranges.hasChange,
      names: list?.names ?? (await posts.names([])).from,
      ai: ai?.trend ?? null,
      ...countingOf(calendar, trend),
    },
  }
}

async function readAi(stats: Stats, shown: DayRange): Promise<{ trend: AiTrend; asOf: string }> {
  const range = inOneCall(shown)
  const [answers, readers] = await Promise.all([
    stats.siteValueDays('purpose', { ...range, who: 'bots', value: 'ai_answer' }),
    stats.siteValueDays('channel', { ...range, who: 'people', value: 'ai' }),
  ])
  return {
    trend: { answers: answers.days, readers: readers.days },
    asOf: oldest(answers.as_of, readers.as_of),
  }
}
