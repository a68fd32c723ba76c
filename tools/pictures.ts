import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createStats, createTracker } from '@postviews/client/src/index.ts'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { AUTHORS } from '../examples/blog/src/people.ts'
import { loadPosts } from '../examples/blog/src/posts.ts'
import { publishAll } from './life/publish.ts'
import { historyViews } from './life/visits.ts'
import { launchChromium } from './stack/chromium.ts'
import { ensureInstalled } from './stack/install.ts'
import { holdFreePort } from './stack/ports.ts'
import { startRabbitmq } from './stack/rabbitmq.ts'
import { Server } from './stack/server.ts'

/**
 * `node tools/pictures.ts` draws the README's pictures again, in docs/pictures: it runs the whole system in a temporary folder,
 * with 90 days of simulated readers, and takes the panel and the author dashboard in light and dark mode. They look best where the
 * fonts Inter and Noto Color Emoji are installed, which has the flags (Debian: fonts-inter, fonts-noto-color-emoji).
 */
const ROOT = join(import.meta.dirname, '..')
const PICTURES = join(ROOT, 'docs/pictures')
const SIZE = { width: 1_280, height: 1_320 }
const KEY = 'the-key-of-the-pictures'
const PASSWORD = 'the password of the pictures'
/** The blog's public URL in the pictures. */
const BLOG = 'https://blog.example'
const DAYS = 90
const VIEWS = 80_000

const folder = mkdtempSync(join(tmpdir(), 'postviews-pictures-'))
const ends: (() => Promise<unknown>)[] = [async () => rmSync(folder, { recursive: true })]
try {
  await makePictures()
} finally {
  for (const end of ends.reverse()) await end()
}

async function makePictures(): Promise<void> {
  await ensureInstalled(['rabbitmq', 'chromium'], console.log)
  console.log('Starting everything ...')
  const broker = await startRabbitmq({ management: false })
  ends.push(() => broker.stop())
  const amqpUrl = broker.url
  const analyticsUrl = await start('packages/analytics/src/postviews.mjs', ['serve'], '/readyz', {
    AMQP_URL: amqpUrl,
    DATABASE_URL: `sqlite:${join(folder, 'views.db')}`,
    EVENT_MAX_AGE: '100d',
    RAW_RETENTION_DAYS: '120',
    STATS_TIMEZONE: zoneInTheEvening(),
    SITE_HOSTS: new URL(BLOG).host,
  })
  const sampleDay = new Date().toISOString().slice(0, 10)
  const blogUrl = await start('examples/blog/src/main.ts', [], '/', {
    AMQP_URL: amqpUrl,
    ANALYTICS_URL: analyticsUrl,
    SAMPLE_DAY: sampleDay,
  })
  const panelUrl = await start('packages/admin/src/main.ts', [], '/livez', {
    ADMIN_PASSWORD: PASSWORD,
    ANALYTICS_URL: analyticsUrl,
    POSTS_URL: `${blogUrl}/posts.json`,
  })

  console.log(`Publishing ${VIEWS} views ...`)
  const posts = loadPosts(sampleDay)
  await publish(amqpUrl, analyticsUrl, posts)

  mkdirSync(PICTURES, { recursive: true })
  const browser = await launchChromium()
  ends.push(() => browser.close())
  const hot = posts.find(({ slug }) => slug === 'counting-to-one')!
  for (const colorScheme of ['light', 'dark'] as const) {
    const suffix = colorScheme === 'dark' ? '-dark' : ''
    const panel = await signedIn(browser, panelUrl, { password: PASSWORD }, colorScheme)
    await take(panel, '/?compare=1', `panel${suffix}`, pointAtTrend)
    await take(panel, `/posts/${hot.id}`, `post${suffix}`, pointAtTrend)
    const author = { person: String(AUTHORS[0]!.id) }
    await take(await signedIn(browser, blogUrl, author, colorScheme), '/dashboard', `dashboard${suffix}`)
  }
}

/** Returns its address. */
async function start(
  program: string,
  args: string[],
  readyPath: string,
  env: Record<string, string>,
): Promise<string> {
  const port = await holdFreePort()
  const url = `http://127.0.0.1:${port.port}`
  const server = new Server({
    name: program,
    command: [process.execPath, join(ROOT, program), ...args],
    env: { PATH: process.env['PATH'], PORT: String(port.port), INTERNAL_API_KEY: KEY, ...env },
    cwd: folder,
    logFile: join(folder, `${port.port}.log`),
    ready: () =>
      fetch(url + readyPath).then(
        ({ ok }) => ok,
        () => false, // Not listening yet.
      ),
    startTimeoutMs: 60_000,
    stopTimeoutMs: 10_000,
  })
  await server.start()
  ends.push(async () => {
    await server.stop()
    port.release()
  })
  return url
}

async function publish(
  amqpUrl: string,
  analyticsUrl: string,
  posts: ReturnType<typeof loadPosts>,
): Promise<void> {
  const tracker = createTracker({ url: amqpUrl })
  const life = { posts, seed: 'pictures', blogUrl: BLOG }
  const views = historyViews({ ...life, untilMs: Date.now(), days: DAYS, views: VIEWS })
  await publishAll(views, tracker, new AbortController().signal)
  await tracker.close()
  const stats = createStats({ baseUrl: analyticsUrl, key: KEY })
  while ((await stats.siteViews()).views < views.length)
    await new Promise(resolve => setTimeout(resolve, 100))
}

async function signedIn(
  browser: Browser,
  baseURL: string,
  form: Record<string, string>,
  colorScheme: 'light' | 'dark',
): Promise<BrowserContext> {
  const context = await browser.newContext({ baseURL, viewport: SIZE, colorScheme, reducedMotion: 'reduce' })
  await context.request.post('/sign-in', { form })
  return context
}

async function take(
  context: BrowserContext,
  path: string,
  name: string,
  prepare?: (page: Page) => Promise<void>,
): Promise<void> {
  const page = await context.newPage()
  await page.goto(path, { waitUntil: 'networkidle' })
  await prepare?.(page)
  const file = join(PICTURES, `${name}.png`)
  await page.screenshot({ path: file })
  console.log(`${file}: ${Math.round(statSync(file).size / 1_024)} KiB`)
  await page.close()
}

async function pointAtTrend(page: Page): Promise<void> {
  const chart = page.locator('#trend .chart')
  await chart.locator('canvas').waitFor()
  const { x, y, width, height } = (await chart.boundingBox())!
  await page.mouse.move(x + width * 0.72, y + height / 2)
  await chart.locator('.tip').waitFor()
}

/** A zone where it is evening, so that today has nearly all its views. */
function zoneInTheEvening(): string {
  const zones = [
    'Pacific/Auckland',
    'Asia/Tokyo',
    'Asia/Kolkata',
    'Europe/Warsaw',
    'Europe/Lisbon',
    'America/New_York',
    'America/Los_Angeles',
    'Pacific/Honolulu',
  ]
  const hourIn = (timeZone: string) =>
    Number(new Intl.DateTimeFormat('en', { timeZone, hour: 'numeric', hourCycle: 'h23' }).format())
  return zones.reduce((best, zone) =>
    Math.abs(hourIn(zone) - 21) < Math.abs(hourIn(best) - 21) ? zone : best,
  )
}
