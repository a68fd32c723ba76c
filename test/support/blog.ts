/** The sample blog with its real tracker and stats. It answers without a port. */

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { createStats } from '@postviews/client/src/index.ts'
import { pino } from 'pino'
import { buildBlog } from '../../examples/blog/src/app.ts'
import { loadPosts, type Post } from '../../examples/blog/src/posts.ts'
import { testTracker } from './published.ts'
import { API_KEY } from './service.ts'
import { FIREFOX } from './views.ts'

export const STATS_TIMEOUT_MS = 1_000
export const INES = 1
export const MAREN = 3
export const NOOR = 6
export const ADA = 11
export const POSTS = loadPosts('2026-11-21')
export const [POST] = POSTS as [Post]

export interface BlogSetup {
  amqpUrl: string
  analyticsUrl: string
  trustedProxies?: string[]
  publicUrl?: string
}

/** The blog with its real tracker and stats. */
export async function startBlog(
  t: TestContext,
  { amqpUrl, analyticsUrl, trustedProxies = [], publicUrl }: BlogSetup,
) {
  const tracker = testTracker(t, { url: amqpUrl })
  const asked: string[] = []
  const stats = createStats({
    baseUrl: analyticsUrl,
    key: API_KEY,
    timeoutMs: STATS_TIMEOUT_MS,
    fetch: (input, init) => {
      asked.push(String(input))
      return fetch(input, init)
    },
  })
  const log = pino({ level: 'silent' })
  const app = await buildBlog({
    posts: POSTS,
    tracker,
    stats,
    trustedProxies,
    publicUrl: publicUrl ?? null,
    log,
  })
  t.after(() => app.close())
  return {
    app,
    tracker,
    /** The requests that the blog made to analytics. */
    asked,
    get: (url: string, headers: Record<string, string> = {}) =>
      app.inject({ url, headers: { 'user-agent': FIREFOX, ...headers } }),
    /** Signs in and returns that person's headers. */
    async as(person: number): Promise<{ cookie: string }> {
      const answer = await app.inject({
        method: 'POST',
        url: '/sign-in',
        payload: { person: String(person) },
      })
      assert.equal(answer.statusCode, 303)
      const [cookie] = answer.cookies
      assert.ok(cookie)
      return { cookie: `${cookie.name}=${cookie.value}` }
    },
  }
}

/** The dashboard's cells: views and unique views of each post, by title. */
export function countsIn(html: string): Map<string, string[]> {
  const rows = html.split('<tr>').slice(2)
  return new Map(
    rows.map(row => [
      decode(/<th scope="row"><a [^>]*>(.*?)<\/a>/.exec(row)![1]!),
      [...row.matchAll(/<td class="number"[^>]*>(.*?)<\/td>/g)].map(cell =>
        cell[1]!.replaceAll(/<[^>]*>/g, ''),
      ),
    ]),
  )
}

function decode(html: string): string {
  return html.replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&amp;', '&')
}
