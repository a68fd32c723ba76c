import type { Post } from './posts.ts'

export interface PostsQuery {
  /** Up to 200, separated by commas. */
  ids?: string
  /** Text that the title, author or id contains. */
  search?: string
  /** 1 to 200. Default 50. */
  limit?: string
}

const MAX_POSTS = 200
const DEFAULT_POSTS = 50

/** The requested posts, in the order of their ids, without unknown ones; or the posts found, newest first. */
export function findPosts(posts: readonly Post[], { ids, search = '', limit }: PostsQuery): Post[] {
  if (ids !== undefined) {
    const asked = ids.split(',').slice(0, MAX_POSTS)
    return asked.flatMap(id => posts.find(post => post.id === id.trim().toLowerCase()) ?? [])
  }
  const count = Math.min(Math.max(Math.trunc(Number(limit ?? DEFAULT_POSTS)) || DEFAULT_POSTS, 1), MAX_POSTS)
  const wanted = plain(search.trim())
  return posts
    .filter(({ id, title, author }) => [id, title, author.name].some(text => plain(text).includes(wanted)))
    .slice(0, count)
}

/** As people type in a search: without case and accents, with straight quotes. */
function plain(text: string): string {
  return text.normalize('NFD').replaceAll(/\p{M}/gu, '').replaceAll('’', "'").toLowerCase()
}
