/** Every page of the panel in a real browser: what all of them keep to. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import type { BrowserContext, Page } from 'playwright-core'
import { PASSWORD, POST, peopleOf, startPanel, startPanelProcess } from '../support/panel.ts'
import { startPathProxy } from '../support/path-proxy.ts'
import { API_KEY } from '../support/service.ts'
import { until } from '../support/until.ts'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const SCROLL_WIDTH = 'document.documentElement.scrollWidth'
const MAX_PAGE_BYTES = 250 * 1_024

const WIDE = { width: 1_280, height: 900 }

const COMPARED = `/posts/${POST.id}?compare=1`

const PAGES = {
  'the overview': '/',
  'a year of the overview, compared': '/?period=365d&compare=1',
  'the second page of posts': '/?page=2',
  'days to come': '/?from=2099-01-01&to=2099-01-31',
  'a search without result': '/?q=nothing+of+the+kind',
  'a post': COMPARED,
  'a year of a post, compared': `/posts/${POST.id}?period=365d&compare=1`,
  'a post that nobody read': '/posts/never-read',
  'a day of all views by the hour': '/?period=yesterday&who=all&compare=year',
  'the days of a source': '/?by=referrer&value=news.example&sources=referrer',
  machines: '/machines?compare=1',
  'a whole list': `/posts/${POST.id}/lists/referrer?who=all`,
  'a page that is not there': '/nowhere',
  'signing in': '/sign-in',
}

/** All that came to pages of the context, and what they complained about. */
function watch(context: BrowserContext) {
  const hosts = new Set<string>()
  const complaints: string[] = []
  const bodies: Promise<string>[] = []
  context.on('request', request => hosts.add(new URL(request.url()).host))
  context.on('response', response => {
    const headers = JSON.stringify(response.headers())
    // One that leads elsewhere, or says that nothing changed, has no body to give.
    bodies.push(
      response.text().then(
        text => headers + text,
        () => headers,
      ),
    )
  })
  context.on('weberror', error => complaints.push(error.error().message))
  context.on('console', message => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  return { hosts, complaints, texts: () => Promise.all(bodies) }
}

async function isDrawn(page: Page): Promise<void> {
  const charts = page.locator('.chart')
  await until(
    'the charts are drawn',
    async () => (await page.locator('.chart canvas').count()) === (await charts.count()),
  )
}

/** Where the page leads: every address in it. */
const ADDRESSES =
  "[...document.querySelectorAll('[href], [src], [action]')].flatMap(it => ['href', 'src', 'action'].map(name => it.getAttribute(name))).filter(address => address !== null)"

/** What axe finds wrong, in short. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE)
  return page.evaluate(
    `axe.run().then(({ violations }) => violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => [id, target, failureSummary].join(' '))))`,
  )
}

test('every page of the panel', async t => {
  const panel = await startPanel(t)
  const page = await panel.page({ viewport: WIDE, reducedMotion: 'reduce' })
  const seen = watch(page.context())
  const network = await page.context().newCDPSession(page)
  let bytes = 0
  network.on('Network.loadingFinished', ({ encodedDataLength }) => {
    bytes += encodedDataLength
  })
  await network.send('Network.enable')
  await network.send('Network.setCacheDisabled', { cacheDisabled: true })

  for (const [name, path] of Object.entries(PAGES)) {
    await t.test(
      `${name}: axe finds nothing in the light nor in the dark, it fits 320 pixels, and weighs under 250 KB`,
      async () => {
        bytes = 0
        await page.goto(path)
        await isDrawn(page)
        assert.ok(bytes > 1_000 && bytes < MAX_PAGE_BYTES, `${bytes} bytes`)
        if (path === COMPARED) await page.getByText('Table of days').click()
        for (const colorScheme of ['light', 'dark'] as const) {
          await page.emulateMedia({ colorScheme })
          assert.deepEqual(await violations(page), [], colorScheme)
        }
        await page.setViewportSize({ width: 320, height: 700 })
        await isDrawn(page)
        // Charts take their new size with the next frame. Asked from outside: what is tried again in the page is `eval`.
        await until('it is no wider', async () => (await page.evaluate(SCROLL_WIDTH)) === 320)
        await page.setViewportSize(WIDE)
      },
    )
  }

  await t.test('asks nobody but the panel, and breaks no policy of its own', async () => {
    await page.goto('/')
    const isRefreshed = (status: number) =>
      page.waitForResponse(response => response.url().endsWith('/data') && response.status() === status)
    await isRefreshed(200)
    await isRefreshed(304)
    assert.deepEqual([...seen.hosts], [new URL(panel.url).host])
    const [missing, ...others] = seen.complaints
    assert.match(missing ?? '', /status of 404/, 'the page that is not there')
    assert.deepEqual(others, [])
  })

  await t.test('never gets to see the key of the internal API', async () => {
    const texts = await seen.texts()
    assert.ok(texts.some(text => text.includes(POST.title)))
    for (const text of texts) assert.ok(!text.includes(API_KEY))
  })

  await t.test('works by the keyboard alone', async () => {
    await page.goto('/')
    await isDrawn(page)
    await page.keyboard.press('Tab')
    assert.equal(await page.evaluate('document.activeElement.textContent'), 'Skip to the numbers')
    const reached = new Set<string>()
    for (let presses = 0; presses < 80; presses++) {
      await page.keyboard.press('Tab')
      reached.add(
        await page.evaluate('document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()'),
      )
    }
    for (const name of ['Sign out', '7 days', 'Custom', 'Compare with the previous period', POST.title]) {
      assert.ok(reached.has(name), name)
    }
    assert.ok([...reached].some(name => /^Views and unique views of the site by day.*Arrow keys/.test(name)))
  })

  await t.test('shows its numbers and tables without scripts', async () => {
    const page = await panel.page({ javaScriptEnabled: false })
    await page.goto('/')
    assert.equal(await page.locator('.posts tbody tr:not(.others)').count(), 20)
    await page.getByRole('link', { name: POST.title, exact: true }).click()
    await page.getByRole('heading', { name: POST.title }).waitFor()
    await page.getByText('Table of days').click()
    assert.equal(
      await page.locator('.days tbody tr').nth(1).locator('td').first().textContent(),
      String(peopleOf(0, 1)),
    )
    assert.equal(await page.locator('.chart').first().isVisible(), false)
    await page.context().close()
  })

  for (const strips of [true, false]) {
    await t.test(
      `is whole below a path of its own, behind a proxy that ${strips ? 'takes the path off' : 'leaves the path there'}`,
      async t => {
        const root = '/team/stats/'
        const upstream = await startPanelProcess(t, { ...panel.settings, PANEL_PATH: '/team/stats' })
        const proxy = await startPathProxy(t, { upstream, path: root, strips })
        const context = await panel.open({ baseURL: proxy.url, viewport: WIDE })
        const seen = watch(context)
        const page = await context.newPage()

        await page.goto(`${root}posts/${POST.id}?period=7d`)
        await page.waitForURL(`**${root}sign-in?next=*`)
        await page.getByLabel('Password').fill(PASSWORD)
        await page.keyboard.press('Enter')
        await page.waitForURL(`**${root}posts/${POST.id}?period=7d`)
        assert.deepEqual(new Set((await context.cookies()).map(({ path }) => path)), new Set(['/team/stats']))

        for (const path of Object.values(PAGES)) {
          await page.goto(root + path.slice(1))
          await isDrawn(page)
          for (const address of await page.evaluate<string[]>(ADDRESSES)) {
            if (address !== '#content' && !address.startsWith('https://blog.example/'))
              assert.ok(address.startsWith(root), `${path} leads to ${address}`)
          }
        }

        await page.goto(root)
        const refreshed = (status: number) =>
          page.waitForResponse(
            response => response.url() === `${proxy.url}${root}data` && response.status() === status,
          )
        await refreshed(200)
        await refreshed(304)
        await page.getByRole('link', { name: 'Next' }).click()
        await page.waitForURL(`**${root}?page=2#posts`)
        await page.getByRole('searchbox').fill('matters of number 7')
        await page.keyboard.press('Enter')
        await page.waitForURL(`**${root}?*q=matters+of+number+7*`)
        await page.getByRole('link', { name: 'On matters of number 7', exact: true }).click()
        await page.waitForURL(`**${root}posts/post-07`)
        const [file] = await Promise.all([
          page.waitForEvent('download'),
          page.getByRole('link', { name: 'Download CSV of days' }).click(),
        ])
        assert.match(file.suggestedFilename(), /^postviews-post-post-07-days-/)
        await page.locator('.crumbs').getByRole('link', { name: 'Overview' }).click()
        await page.waitForURL(`**${root}`)
        await page.getByText('Custom').click()
        await page.getByRole('button', { name: 'Show' }).click()
        await page.waitForURL(`**${root}?from=*`)
        await page.getByRole('button', { name: 'Sign out' }).click()
        await page.waitForURL(`**${root}sign-in`)
        await page.goto(root)
        await page.waitForURL(`**${root}sign-in?next=*`)

        assert.deepEqual(proxy.strays, [])
        assert.deepEqual(
          seen.complaints.filter(text => !text.includes('status of 404')),
          [],
        )
        await context.close()
      },
    )
  }
})
