/** The requests to the internal API. */

import { Random } from '../tools/life/random.ts'
import { postUuids, zipf } from './events.ts'

export interface Route {
  title: string
  /** The path of the next request. Popular posts are asked for more often. */
  nextPath(): string
}

export const POSTS_AT_ONCE = 200

export function apiRoutes(postCount: number): readonly [Route, ...Route[]] {
  const posts = postUuids(postCount)
  const random = new Random('questions')
  const post = () => posts[zipf(random, postCount)]!
  const some = () => Array.from({ length: POSTS_AT_ONCE }, () => posts[random.below(postCount)]!)
  const top = (period: string): Route => ({
    title: `/posts/top, ${period}`,
    nextPath: () => `/api/v1/posts/top?period=${period}`,
  })
  return [
    { title: '/posts/{uuid}/views', nextPath: () => `/api/v1/posts/${post()}/views` },
    { title: '/posts/{uuid}/views/daily', nextPath: () => `/api/v1/posts/${post()}/views/daily` },
    top('all'),
    top('today'),
    top('7d'),
    top('30d'),
    { title: '/posts/top, from and to, 365 days', nextPath: () => `/api/v1/posts/top?${lastYear()}` },
    {
      title: `/posts/views, ${POSTS_AT_ONCE} posts`,
      nextPath: () => `/api/v1/posts/views?uuids=${some().join()}`,
    },
    {
      title: `/posts/views, ${POSTS_AT_ONCE} posts, 30 days`,
      nextPath: () => `/api/v1/posts/views?days=30&uuids=${some().join()}`,
    },
  ]
}

const DAY_MS = 86_400_000

function lastYear(): string {
  const day = (daysAgo: number) => new Date(Date.now() - daysAgo * DAY_MS).toISOString().slice(0, 10)
  return `from=${day(364)}&to=${day(0)}`
}
