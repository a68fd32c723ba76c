/** The panel as users run it, on the real service and broker, with some weeks of views; and a browser to look at it. */

import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import { launchChromium } from '../../tools/stack/chromium.ts'
import { testRabbitmq } from '../../tools/stack/for-tests.ts'
import { holdFreePort } from '../../tools/stack/ports.ts'
import { Server } from '../../tools/stack/server.ts'
import { atEnd } from './at-end.ts'
import { SQLITE, type TestDatabase } from './engines.ts'
import { testTracker } from './published.ts'
import { API_KEY, startService } from './service.ts'
import { startTcpProxy } from './tcp-proxy.ts'
import { until } from './until.ts'
import { FIREFOX, GOOGLEBOT } from './views.ts'

export const PASSWORD = 'correct horse battery staple'

/** More posts than fit on one page; the first is the most read. One title is a formula in a spreadsheet. */
export const POSTS = Array.from({ length: 24 }, (_, index) => ({
  id: `post-${String(index + 1).padStart(2, '0')}`,
  title: index === 1 ? '=1+1 and other sums' : `On matters of number ${index + 1}`,
  author: index % 2 === 0 ? 'Inês' : 'Dov',
  url: `https://blog.example/${index + 1}`,
}))
export const [POST] = POSTS as [(typeof POSTS)[number]]

/** Days with views, without today. */
const PAST_DAYS = 40

/**
 * How many views a post had that many days ago; each post has some yesterday. Of three views, one is by a logged-in reader, and
 * one by a bot.
 */
export function viewsOf(post: number, daysAgo: number): number {
  if (daysAgo < 1 || daysAgo > PAST_DAYS) return 0
  return 3 * Math.max(0, 6 - post - (daysAgo % 5 === 0 ? 1 : 0)) + (daysAgo === 1 ? 3 : 0)
}

/** How many of them were by people. */
export function peopleOf(post: number, daysAgo: number): number {
  return (viewsOf(post, daysAgo) / 3) * 2
}

/** On SQLite and with some weeks of views, by default. */
export async function startPanel(
  t: TestContext,
  { database, views = pastViews() }: { database?: TestDatabase; views?: ReturnType<typeof pastViews> } = {},
) {
  const broker = await testRabbitmq()
  const service = await startService(t, {
    amqpUrl: broker.url,
    databaseUrl: (database ?? (await SQLITE.create(t))).url,
    settings: {
      EVENT_MAX_AGE: '100d',
      RAW_RETENTION_DAYS: '120',
      // It is about noon there, so no test runs across midnight.
      STATS_TIMEZONE: zoneAtNoon(),
      SITE_HOSTS: 'blog.example,*.blog.example',
    },
  })
  await service.untilReady()
  const tracker = testTracker(t, { url: broker.url })
  for (const view of views) tracker.trackView(view)
  await until('the past is counted', async () => {
    const { text } = await service.get('/api/v1/views')
    return JSON.parse(text).views === views.length
  })

  // Between the panel and Analytics.
  const proxy = await startTcpProxy(Number(new URL(service.url).port))
  atEnd(t, () => proxy.close())
  const settings = { ANALYTICS_URL: proxy.through(service.url), POSTS_URL: await startPosts(t) }
  const url = await startPanelProcess(t, settings)
  const browser = await launchChromium()
  atEnd(t, () => browser.close())
  /** A browser context of its own, without a session. */
  const open = async (options: BrowserContextOptions = {}) => {
    const context = await browser.newContext({ baseURL: url, ...options })
    context.setDefaultTimeout(15_000)
    return context
  }
  let session: Awaited<ReturnType<BrowserContext['storageState']>> | undefined
  return {
    url,
    /** Its connection settings, for a second panel. */
    settings,
    service,
    tracker,
    proxy,
    open,
    /** A page of a user who is signed in. */
    async page(options: BrowserContextOptions = {}): Promise<Page> {
      if (session === undefined) {
        const first = await open()
        await signIn(await first.newPage())
        session = await first.storageState()
        await first.close()
      }
      const context = await open({ storageState: session, ...options })
      return context.newPage()
    },
  }
}

export async function signIn(page: Page, password: string = PASSWORD): Promise<void> {
  await page.goto('/sign-in')
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

function zoneAtNoon(): string {
  const ahead = 12 - new Date().getUTCHours()
  // In these zone names, east is negative.
  return `Etc/GMT${ahead > 0 ? '-' : '+'}${Math.abs(ahead)}`
}

const HOUR_MS = 3_600_000

const REFERERS = [
  'https://www.blog.example/archive',
  null,
  'https://news.example/item',
  'https://shop.blog.example/',
  'https://news.example/item',
]

export function pastViews() {
  const nowMs = Date.now()
  return POSTS.flatMap(({ id }, post) =>
    Array.from({ length: PAST_DAYS }, (_, index) => index + 1).flatMap(daysAgo =>
      Array.from({ length: viewsOf(post, daysAgo) }, (_, n) => ({
        post_uuid: id,
        user_id: n % 3 === 0 ? n + 1 : null,
        ip: `192.0.2.${n}`,
        user_agent: n % 3 === 1 ? GOOGLEBOT : FIREFOX,
        referer: REFERERS[n % REFERERS.length]!,
        timestamp: nowMs - daysAgo * 24 * HOUR_MS,
      })),
    ),
  )
}

/** A posts service, as a blog offers it. Returns its address. */
export async function startPosts(t: TestContext): Promise<string> {
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? '', 'http://posts.invalid')
    const ids = searchParams.get('ids')?.split(',')
    const search = searchParams.get('search')
    const posts = POSTS.filter(({ id, title }) => ids?.includes(id) ?? title.includes(search ?? ''))
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ posts }))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  atEnd(t, () => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/posts.json`
}

/** Only the panel's process, with these settings. Returns its address. */
export async function startPanelProcess(t: TestContext, settings: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-panel-'))
  const port = await holdFreePort()
  const url = `http://127.0.0.1:${port.port}`
  const panel = new Server({
    name: 'panel',
    command: [process.execPath, join(import.meta.dirname, '../../packages/admin/src/main.ts')],
    env: {
      PATH: process.env['PATH'],
      ADMIN_PASSWORD: PASSWORD,
      INTERNAL_API_KEY: API_KEY,
      PORT: String(port.port),
      ...settings,
    },
    cwd: folder,
    logFile: join(folder, 'log'),
    ready: () =>
      fetch(`${url}/livez`).then(
        ({ ok }) => ok,
        () => false, // Not listening yet.
      ),
    startTimeoutMs: 20_000,
    stopTimeoutMs: 10_000,
  })
  atEnd(t, async () => {
    await panel.kill()
    port.release()
    await rm(folder, { recursive: true })
  })
  await panel.start()
  return url
}
