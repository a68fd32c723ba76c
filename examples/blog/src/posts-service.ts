import type { Post } from './posts.ts'

export interface PostsQuery {
  /** Up to 200, separated by commas. */
  ids?: string
  /** Text that the title, author or id contains. */
  search?: string
  /** Days in UTC, `2026-11-21`: only posts that were published on these and between them. */
  published_from?: string
  published_to?: string
  /** 1 to 200. Default 50. */
  limit?: string
}

const MAX_POSTS = 200
const DEFAULT_POSTS = 50

/** The requested posts, in the order of their ids, without unknown ones; or the posts found, newest first. */
export function findPosts(
  posts: readonly Post[],
  { ids, search = '', published_from: from = '', published_to: to = '9999', limit }: PostsQuery,
): Post[] {
  if (ids !== undefined) {
    const asked = ids.split(',').slice(0, MAX_POSTS)
    return asked.flatMap(id => posts.find(post => post.id === id.trim().toLowerCase()) ?? [])
  }
  const count = Math.min(Math.max(Math.trunc(Number(limit ?? DEFAULT_POSTS)) || DEFAULT_POSTS, 1), MAX_POSTS)
  const wanted = plain(search.trim())
  return posts
    .filter(({ id, title, author }) => [id, title, author.name].some(text => plain(text).includes(wanted)))
    .filter(({ publishedAt }) => {
      const day = publishedAt.toISOString().slice(0, 10)
      return day >= from && day <= to
    })
    .slice(0, count)
}

/** As people type in a search: without case and accents, with straight quotes. */
function plain(text: string): string {
  return text.normalize('NFD').replaceAll(/\p{M}/gu, '').replaceAll('’', "'").toLowerCase()
}
