/** The panel's server on the real API and a real store, with a fixed clock. */

import type { TestContext } from 'node:test'
import { createStats } from '@postviews/client/src/index.ts'
import { buildPanel } from '../../packages/admin/src/app.ts'
import { createLog } from '../../packages/admin/src/log.ts'
import type { OverviewAnswer, PostAnswer } from '../../packages/admin/src/pages/model.ts'
import { createPosts, type Posts } from '../../packages/admin/src/posts.ts'
import { startApi } from './api.ts'

export const KEY = 'a-key-of-the-tests-alone'
export const PASSWORD = 'correct horse battery staple'

interface TestPanelOptions {
  broker?: boolean
  timeZone?: string
  posts?: Pick<Posts, 'names' | 'search'>
  /** Called before each request to Analytics. If it throws, the connection fails. */
  beforeAsked?: (path: string) => void | Promise<void>
}

export async function startPanel(
  t: TestContext,
  { broker = false, timeZone = 'UTC', posts, beforeAsked }: TestPanelOptions = {},
) {
  const depths = { queues: { views: 7, articles: 5 }, dead: 2 }
  const api = await startApi(t, {
    apiKeys: [KEY],
    settings: { timeZone },
    ...(broker && { broker: { depths: async () => depths } }),
  })
  /** The requests to Analytics, and their status. */
  const asked: { path: string; status: number }[] = []
  const stats = createStats({
    baseUrl: 'http://analytics.invalid',
    key: KEY,
    fetch: async (input, init) => {
      const { pathname, search } = new URL(String(input))
      const headers = Object.fromEntries(new Headers(init?.headers))
      await beforeAsked?.(pathname + search)
      const answer = await api.app.inject({ url: pathname + search, headers })
      asked.push({ path: pathname + search, status: answer.statusCode })
      return new Response(answer.statusCode === 304 ? null : answer.body, {
        status: answer.statusCode,
        headers: answer.headers as Record<string, string>,
      })
    },
  })
  const log = createLog('silent')
  const app = buildPanel({
    stats,
    posts: { ...createPosts({ url: null, log }), ...posts },
    adminPassword: PASSWORD,
    sessionHours: 1,
    trustedProxies: [],
    hosts: [],
    root: '/',
    log,
  })
  t.after(() => app.close())
  const { cookies } = await app.inject({
    method: 'POST',
    url: '/sign-in',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: new URLSearchParams({ password: PASSWORD }).toString(),
  })
  const cookie = `${cookies[0]!.name}=${cookies[0]!.value}`
  const get = (url: string, headers: Record<string, string> = {}) =>
    app.inject({ url, headers: { cookie, accept: 'text/html', ...headers } })
  return {
    ...api,
    panel: app,
    cookie,
    asked,
    get,
    overview: async (query = '') => (await get(`/data${query}`)).json<OverviewAnswer>().data!,
    post: async (id: string, query = '') => (await get(`/posts/${id}/data${query}`)).json<PostAnswer>().data!,
  }
}
