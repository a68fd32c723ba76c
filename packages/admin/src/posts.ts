/**
 * Titles, authors and links of posts, from a posts service that answers
 *
 *     GET POSTS_URL?ids=a,b,c   and   GET POSTS_URL?search=text&limit=50
 *     and   GET POSTS_URL?published_from=2026-11-01&published_to=2026-11-28&limit=50
 *     {"posts": [{"id", "title", "author", "url", "published_at"}]}
 *
 * Nothing here ever rejects: a panel without titles shows ids.
 */

import { ByteCache, entryBytes, ownCopy } from '@postviews/client/src/byte-cache.ts'
import { canonicalPost } from '@postviews/client/src/index.ts'
import { describeError, type Log } from './log.ts'
import type { Names, PostName } from './pages/model.ts'
import { addDays, type DayRange } from './pages/question.ts'

export interface Posts {
  /** Those that are known, by id. */
  names(ids: readonly string[]): Promise<{ names: Map<string, PostName>; from: Names }>
  /** Posts whose title, or whatever else the service searches, has this text; none if no service answers. */
  search(text: string): Promise<{ ids: string[]; from: Names }>
  /**
   * Posts that were published on these days, or some hours before or after; oldest first. Empty if the service does not tell.
   *
   * @param post null: any
   */
  published(post: string | null, days: DayRange): Promise<PublishedPost[]>
}

export interface PublishedPost {
  id: string
  title: string
  /** ISO 8601. */
  publishedAt: string
}

export interface PostsOptions {
  /** Null: there is no such service. */
  url: string | null
  log: Log
  timeoutMs?: number
  /** Unix milliseconds. */
  now?: () => number
}

const TIMEOUT_MS = 1_500
/** How long the service is not asked after it did not answer: a page never waits for it twice in a row. */
const PAUSE_MS = 5_000
/** How long a name is reused; for ever while the service is away. */
const NAME_HOLDS_MS = 60_000
/** Room for five thousand posts with usual titles and links; a service may send longer ones. */
const KNOWN_BYTES = 8 * 1_048_576
/** The limit of a search: if it finds this many, there may be more. */
export const MAX_FOUND = 50
/** For UUIDs, this makes an address of 4 KB, which any server takes, and an answer within the bytes below. */
const IDS_OF_CALL = 100
const MAX_TEXT_CHARACTERS = 300
const MAX_URL_CHARACTERS = 2_000
/** More than fifty posts with the longest texts. */
const MAX_ANSWER_BYTES = 1_048_576

export function createPosts({ url, log, timeoutMs = TIMEOUT_MS, now = Date.now }: PostsOptions): Posts {
  if (url === null) {
    return {
      names: async () => ({ names: new Map(), from: 'none' }),
      search: async () => ({ ids: [], from: 'none' }),
      published: async () => [],
    }
  }
  /** Also the posts that it does not know: null. */
  const known = new ByteCache<{ name: PostName | null; at: number }>(KNOWN_BYTES)
  let lostAt: number | null = null

  async function ask(query: Record<string, string>): Promise<NamedPost[] | null> {
    if (lostAt !== null && now() - lostAt < PAUSE_MS) return null
    try {
      const address = new URL(url!)
      for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value)
      const response = await fetch(address, {
        signal: AbortSignal.timeout(timeoutMs),
        headers: { Accept: 'application/json' },
        // The service must not send the panel's requests to another host.
        redirect: 'manual',
      })
      if (!response.ok) {
        await response.body?.cancel()
        throw new Error(`the posts service answered ${response.status}${redirects(response)}`)
      }
      const posts = readPosts(await readJson(response))
      if (lostAt !== null) log.info('posts.back')
      lostAt = null
      return posts
    } catch (error) {
      if (lostAt === null)
        log.warn({ error: describeError(error), service: new URL(url!).origin }, 'posts.lost')
      lostAt = now()
      return null
    }
  }

  function keep(id: string, name: PostName | null): void {
    known.set(id, { name, at: now() }, entryBytes(id, ...(name === null ? [] : textsOf(name))))
  }

  /** By the days: a chart asks for the same ones all the time. */
  const knownDays = new ByteCache<{ posts: NamedPost[]; at: number }>(KNOWN_BYTES)

  async function publishedOn({ from, to }: DayRange): Promise<NamedPost[]> {
    const key = `${from} ${to}`
    const kept = knownDays.get(key)
    if (kept !== undefined && now() - kept.at <= NAME_HOLDS_MS) return kept.posts
    // The days of the service may be those of another zone.
    const range = { published_from: addDays(from, -1), published_to: addDays(to, 1) }
    const told = await ask({ ...range, limit: String(MAX_FOUND) })
    if (told === null) return kept?.posts ?? []
    const posts = told.slice(0, MAX_FOUND)
    knownDays.set(
      key,
      { posts, at: now() },
      entryBytes(key, ...posts.flatMap(({ id, name }) => [id, ...textsOf(name)])),
    )
    return posts
  }

  async function named(id: string): Promise<NamedPost[]> {
    const name = (await names([id])).names.get(id)
    return name === undefined ? [] : [{ id, name }]
  }

  async function names(ids: readonly string[]) {
    const wanted = ids.filter(id => now() - (known.get(id)?.at ?? Number.NEGATIVE_INFINITY) > NAME_HOLDS_MS)
    let isAway = false
    for (let first = 0; first < wanted.length && !isAway; first += IDS_OF_CALL) {
      const group = wanted.slice(first, first + IDS_OF_CALL)
      const told = await ask({ ids: group.join(',') })
      isAway = told === null
      const byId = new Map(told?.map(({ id, name }) => [id, name]))
      if (told !== null) for (const id of group) keep(id, byId.get(id) ?? null)
    }
    const found = new Map<string, PostName>()
    for (const id of ids) {
      const name = known.get(id)?.name
      if (name) found.set(id, name)
    }
    return { names: found, from: isAway ? ('away' as const) : ('known' as const) }
  }

  return {
    names,

    async search(text) {
      const found = await ask({ search: text, limit: String(MAX_FOUND) })
      if (found === null) return { ids: [], from: 'away' }
      for (const { id, name } of found.slice(0, MAX_FOUND)) keep(id, name)
      return { ids: found.slice(0, MAX_FOUND).map(({ id }) => id), from: 'known' }
    },

    async published(post, days) {
      const posts = post === null ? await publishedOn(days) : await named(post)
      return posts
        .flatMap(({ id, name: { title, publishedAt } }) =>
          publishedAt === null ? [] : [{ id, title, publishedAt }],
        )
        .toSorted((a, b) => (a.publishedAt < b.publishedAt ? -1 : 1))
    },
  }
}

function textsOf({ title, author, url, publishedAt }: PostName): string[] {
  return [title, author ?? '', url ?? '', publishedAt ?? '']
}

function redirects({ status }: Response): string {
  return status >= 300 && status < 400
    ? ', a redirect, which is not followed: set POSTS_URL to its target'
    : ''
}

interface NamedPost {
  id: string
  name: PostName
}

/** Reads at most the bytes of the longest answer, whatever is sent. */
async function readJson(response: Response): Promise<unknown> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`the posts service sent over ${MAX_ANSWER_BYTES} bytes`)
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString())
  } catch {
    // The parser's message quotes the answer, which must not be in a log.
    throw new Error('the posts service sent no JSON')
  }
}

/** The valid posts of an answer; others are left out. */
function readPosts(answer: unknown): NamedPost[] {
  const { posts } = (answer ?? {}) as { posts?: unknown }
  if (!Array.isArray(posts)) throw new Error('the posts service sent no posts')
  return posts.flatMap((post: unknown) => {
    const {
      id: told,
      title,
      author,
      url,
      published_at: publishedAt,
    } = (post ?? {}) as Record<string, unknown>
    // Analytics refuses a whole request because of one invalid id.
    const id = typeof told === 'string' ? canonicalPost(told) : undefined
    if (id === undefined || typeof title !== 'string' || title.trim() === '') return []
    const name = {
      // A copy: it is kept for longer than the answer, which may be a megabyte.
      title: ownCopy(title.trim().slice(0, MAX_TEXT_CHARACTERS)),
      author: typeof author === 'string' ? ownCopy(author.slice(0, MAX_TEXT_CHARACTERS)) : null,
      url: typeof url === 'string' && isLink(url) ? url : null,
      publishedAt: timeOf(publishedAt),
    }
    return [{ id, name }]
  })
}

/** ISO 8601 in UTC; null: that is no time. */
function timeOf(told: unknown): string | null {
  const time = typeof told === 'string' ? Date.parse(told) : Number.NaN
  return Number.isNaN(time) ? null : new Date(time).toISOString()
}

/** A link with another scheme could run a script on the panel's page. */
function isLink(url: string): boolean {
  return /^https?:\/\//.test(url) && url.length <= MAX_URL_CHARACTERS
}
