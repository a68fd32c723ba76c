/** The panel in a real browser: what an admin does with it. */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import type { Locator, Page } from 'playwright-core'
import { PASSWORD, POST, POSTS, peopleOf, signIn, startPanel, viewsOf } from './support/panel.ts'
import { until } from './support/until.ts'
import { FIREFOX } from './support/views.ts'

/** Of the first post, over the last days without today. */
function viewsInDays(days: number, from = 1): number {
  return Array.from({ length: days }, (_, index) => peopleOf(0, from + index)).reduce((a, b) => a + b, 0)
}

function figure(page: Page, name: string): Locator {
  return page.locator('.figure').filter({ has: page.locator('dt', { hasText: new RegExp(`^${name}`) }) })
}

function trendOf(page: Page): Locator {
  return page.getByRole('application', { name: /^Views and unique views/ })
}

async function hasText(locator: Locator, text: string | RegExp): Promise<void> {
  await until(`${locator} says ${text}`, async () => {
    const said = (await locator.textContent())?.trim() ?? ''
    return typeof text === 'string' ? said === text : text.test(said)
  })
}

async function download(page: Page, link: Locator): Promise<{ name: string; lines: string[] }> {
  const [file] = await Promise.all([page.waitForEvent('download'), link.click()])
  const text = await readFile(await file.path(), 'utf8')
  // What Excel knows UTF-8 by.
  assert.equal(text[0], '\uFEFF')
  return { name: file.suggestedFilename(), lines: text.slice(1).trimEnd().split('\r\n') }
}

test('the panel, in a browser', async t => {
  const panel = await startPanel(t)

  await t.test('lets in who knows the password, to the page that was asked for, and out again', async () => {
    const context = await panel.open()
    const page = await context.newPage()
    await page.goto(`/posts/${POST.id}?period=7d`)
    assert.equal(new URL(page.url()).pathname, '/sign-in')
    await page.keyboard.type('not the password')
    await page.keyboard.press('Enter')
    await page.getByText('Wrong password.').waitFor()
    assert.equal((await context.cookies()).length, 0)

    await page.keyboard.type(PASSWORD)
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: POST.title }).waitFor()
    assert.match(page.url(), /\/posts\/post-01\?period=7d$/)

    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    await page.goto('/')
    assert.equal(new URL(page.url()).pathname, '/sign-in')
    await context.close()
  })

  await t.test('counts a view that is published, without a reload, within 3 seconds', async () => {
    const page = await panel.page()
    await page.goto(`/posts/${POST.id}`)
    const total = page.locator('[data-figure=total]')
    const before = Number((await total.textContent())?.replaceAll(',', ''))
    await page.evaluate('globalThis.isSamePage = true')
    const publishedAt = performance.now()
    panel.tracker.trackView({ post_uuid: POST.id, user_id: null, ip: '198.51.100.1', user_agent: FIREFOX })
    await hasText(total, String(before + 1))
    assert.ok(performance.now() - publishedAt < 3_000)
    assert.equal(await page.evaluate('globalThis.isSamePage'), true)

    const overview = await panel.page()
    await overview.goto('/')
    await hasText(overview.locator('[data-figure=now]'), '1')
    await overview.context().close()
    await page.context().close()
  })

  await t.test('shows another period, and the same one to whoever follows its link', async () => {
    const page = await panel.page()
    await page.goto(`/posts/${POST.id}`)
    await page.getByRole('link', { name: '7 days', exact: true }).click()
    await page.waitForURL('**/posts/post-01?period=7d')
    // Six days of the past, and today's one view.
    await hasText(figure(page, 'Views').locator('.value'), String(viewsInDays(6) + 1))
    // Today is not over, so six days stand beside six.
    const change = `without today, from ${viewsInDays(6, 8)} to ${viewsInDays(6)}`
    assert.match((await figure(page, 'Views').textContent()) ?? '', new RegExp(change))

    const other = await panel.page()
    await other.goto(page.url())
    assert.equal(await figure(other, 'Views').textContent(), await figure(page, 'Views').textContent())
    await other.context().close()

    await page.getByText('Custom').click()
    const day = await page
      .locator('.days tbody th')
      .nth(2)
      .evaluate((cell: { textContent: string }) => cell.textContent)
    const iso = new Date(`${day} UTC`).toISOString().slice(0, 10)
    await page.getByLabel('First day').fill(iso)
    await page.getByLabel('Last day').fill(iso)
    await page.getByRole('button', { name: 'Show' }).click()
    await page.waitForURL(`**/posts/post-01?from=${iso}&to=${iso}`)
    await hasText(figure(page, 'Views').locator('.value'), String(peopleOf(0, 2)))
    await page.context().close()
  })

  await t.test('compares with the period before, in the chart and in the table', async () => {
    const page = await panel.page()
    await page.goto(`/posts/${POST.id}?period=7d`)
    assert.equal(await page.locator('#trend .legend li').count(), 2)
    await page.getByRole('link', { name: 'Compare with the previous period' }).click()
    await page.waitForURL('**?period=7d&compare=1')
    assert.equal(await page.locator('#trend .legend li').count(), 3)
    await page.getByText('Table of days').click()
    const yesterday = await page.locator('.days tbody tr').nth(1).locator('td').allTextContents()
    assert.equal(yesterday[0], String(peopleOf(0, 1)))
    assert.equal(yesterday[6], String(peopleOf(0, 8)))
    await page.context().close()
  })

  await t.test('reads the chart out to the keyboard, and opens its table with one key', async () => {
    const page = await panel.page()
    await page.goto(`/posts/${POST.id}?period=30d`)
    const chart = trendOf(page)
    await chart.focus()
    const voice = chart.locator('[aria-live]')
    await page.keyboard.press('ArrowLeft')
    await hasText(voice, /, so far; Views: 1; Unique views: 1$/)
    await page.keyboard.press('ArrowLeft')
    await hasText(voice, new RegExp(`; Views: ${peopleOf(0, 1)}; Unique views: \\d+$`))
    await page.keyboard.press('Home')
    await hasText(voice, new RegExp(`; Views: ${peopleOf(0, 29)}; `))
    assert.equal(await chart.locator('.tip').isVisible(), true)
    await page.keyboard.press('Escape')
    assert.equal(await chart.locator('.tip').isVisible(), false)

    const table = page
      .getByRole('table')
      .filter({ has: page.getByRole('columnheader', { name: 'Logged in' }) })
    assert.equal(await table.isVisible(), false)
    await page.keyboard.press('t')
    assert.equal(await table.isVisible(), true)
    assert.equal(await table.locator('tbody tr').count(), 30)
    assert.equal(
      await table.locator('tbody tr').nth(1).locator('td').first().textContent(),
      String(peopleOf(0, 1)),
    )
    await page.context().close()
  })

  await t.test('tells the values under the pointer', async () => {
    const page = await panel.page()
    await page.goto(`/posts/${POST.id}?period=7d`)
    const chart = trendOf(page)
    const box = (await chart.boundingBox())!
    await page.mouse.move(box.x + box.width - 34, box.y + 80)
    await hasText(chart.locator('.tip'), /, so farViews1Unique views1$/)
    await page.mouse.move(box.x + box.width / 2, box.y - 60)
    await chart.locator('.tip').waitFor({ state: 'hidden' })
    await page.context().close()
  })

  await t.test(
    "shows the site's own pages as one row, and not as a place that readers came from",
    async () => {
      const page = await panel.page()
      for (const path of ['/', `/posts/${POST.id}`]) {
        await page.goto(`${path}?sources=referrer`)
        const rows = page.locator('#sources tbody tr')
        const names = await rows.locator('th').allTextContents()
        assert.deepEqual(names.at(-1)?.trim(), 'This site’s own pages')
        assert.ok(names.every(name => !name.includes('blog.example')))
        // Every view came from somewhere.
        const views = (await rows.locator('td:last-child').allTextContents()).map(Number)
        const all = Number((await figure(page, 'Views').locator('.value').textContent())?.replaceAll(',', ''))
        assert.equal(
          views.reduce((a, b) => a + b, 0),
          all,
        )
      }
      await page.context().close()
    },
  )

  await t.test('shows people first, and machines and all views to who asks for them', async () => {
    const page = await panel.page()
    const yesterday = '/posts/post-03?period=yesterday'
    await page.goto(yesterday)
    await hasText(figure(page, 'Views').locator('.value'), String(peopleOf(2, 1)))
    await hasText(figure(page, 'Machines').locator('.note'), /33\.3 % of all views$/)
    await page.getByRole('link', { name: 'All', exact: true }).click()
    await page.waitForURL(`**${yesterday}&who=all`)
    await hasText(figure(page, 'Views').locator('.value'), String(viewsOf(2, 1)))
    await hasText(figure(page, 'Machines').locator('.value'), String(viewsOf(2, 1) / 3))
    await page.getByRole('link', { name: 'Machines', exact: true }).last().click()
    await page.waitForURL(`**${yesterday}&who=bots`)
    await hasText(figure(page, 'People').locator('.value'), String(peopleOf(2, 1)))

    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Machines' }).click()
    await page.getByRole('heading', { name: 'Machines', exact: true }).waitFor()
    await hasText(page.locator('#machines tbody th').first(), 'Googlebot')
    await hasText(page.locator('#purposes tbody th').first(), 'Search engines')
    await page.context().close()
  })

  await t.test('shows the days of a value, and the whole list it is of', async () => {
    const page = await panel.page()
    await page.goto(`/posts/${POST.id}?period=7d&sources=referrer`)
    await page.locator('#sources').getByRole('link', { name: 'news.example' }).click()
    await page.waitForURL('**by=referrer&value=news.example**')
    await hasText(page.locator('#trend h2'), /^Trend of news\.example/)
    await page.getByText('Table of days').click()
    const cells = await page.locator('.days tbody tr').nth(1).locator('td').allTextContents()
    assert.ok(Number(cells[0]) > 0 && Number(cells[0]) < Number(cells[1]), cells.join())
    const file = await download(page, page.getByRole('link', { name: 'Download CSV of days' }))
    assert.equal(file.lines.at(-2)?.split(',')[1], cells[0])
    await page.getByRole('link', { name: 'Show all views' }).click()
    await hasText(page.locator('#trend h2'), /^Trend( the|$)/)

    await page.getByRole('link', { name: 'Whole list of sites' }).click()
    await page.getByRole('heading', { name: 'Sites', level: 1 }).waitFor()
    const names = await page.locator('#list tbody th').allTextContents()
    assert.ok(names.some(name => name.includes('shop.blog.example, this site')))
    await page.getByRole('link', { name: 'news.example' }).click()
    await page.waitForURL(`**/posts/${POST.id}?*value=news.example**`)
    await page.context().close()
  })

  await t.test('shows a day by the hour, and sorts posts by what one asks for', async () => {
    const page = await panel.page()
    await page.goto('/?period=yesterday')
    await page.getByText('Table of hours').click()
    const hours = (await page.locator('.days tbody td.number').allTextContents()).map(Number)
    assert.equal(hours.length, 24)
    const day = hours.reduce((a, b) => a + b, 0)
    await hasText(figure(page, 'Views').locator('.value'), String(day))

    await page.goto('/?period=7d')
    await page.getByRole('link', { name: 'Change', exact: true }).click()
    await page.waitForURL('**?period=7d&sort=change#posts')
    const changes = (await page.locator('.row-change').allTextContents()).map(text =>
      Number(text.replace('−', '-')),
    )
    assert.deepEqual(
      changes,
      changes.toSorted((a, b) => b - a),
    )
    await page.getByRole('link', { name: /^Change/ }).click()
    await page.waitForURL('**sort=change&order=asc#posts')
    await page.getByRole('link', { name: 'Hours', exact: true }).click()
    await page.getByRole('application', { name: /^Views of the site by the hour/ }).waitFor()
    await page.context().close()
  })

  await t.test('closes the menu of periods on Escape, and when something else is pressed', async () => {
    const page = await panel.page()
    await page.goto('/')
    const menu = page.locator('.own-period')
    const isOpen = () => menu.evaluate(details => details.hasAttribute('open'))
    await page.getByText('Custom').click()
    assert.equal(await isOpen(), true)
    await page.keyboard.press('Escape')
    assert.equal(await isOpen(), false)
    await page.getByText('Custom').click()
    await page.getByRole('heading', { name: 'Overview' }).click()
    assert.equal(await isOpen(), false)
    await page.context().close()
  })

  await t.test('gives what it shows as CSV, with nothing in it that a spreadsheet would run', async () => {
    const page = await panel.page()
    await page.goto(`/posts/${POST.id}?period=7d&compare=1`)
    const days = await download(page, page.getByRole('link', { name: 'Download CSV of days' }))
    assert.match(
      days.name,
      /^postviews-post-post-01-days-20\d\d-\d\d-\d\d-to-20\d\d-\d\d-\d\d-Etc-GMT[+-]\d+\.csv$/,
    )
    assert.equal(days.lines.length, 8)
    assert.match(
      days.lines[6]!,
      new RegExp(`^20\\d\\d-\\d\\d-\\d\\d,${peopleOf(0, 1)},.*,${peopleOf(0, 8)},`),
    )
    await page.goto(`/posts/${POST.id}?sources=referrer`)
    const referrers = await download(page, page.getByRole('link', { name: 'Download CSV of sites' }))
    assert.deepEqual(referrers.lines.map(line => line.split(',')[0]).toSorted(), [
      '',
      'news.example',
      'referrer',
      "this site's own pages",
    ])

    await page.goto('/')
    const posts = await download(page, page.getByRole('link', { name: 'Download CSV of posts' }))
    assert.equal(posts.lines[1]!.split(',').slice(0, 3).join(), `post-01,${POST.title},Inês`)
    assert.match(posts.lines[2]!, /^post-02,'=1\+1 and other sums,Dov,\d+,\d+$/)
    assert.match(posts.name, /^postviews-posts-20\d\d-\d\d-\d\d-to-20\d\d-\d\d-\d\d-Etc-GMT[+-]\d+\.csv$/)
    // The page shows twenty, and those that were viewed in these days are all in the file.
    assert.equal(posts.lines.length, 1 + POSTS.length)
    await page.context().close()
  })

  await t.test('finds posts by title or id, pages through them, and leads to each', async () => {
    const page = await panel.page()
    await page.goto('/')
    const rows = page.locator('.posts tbody tr')
    await hasText(page.locator('#posts h2'), `Posts ${POSTS.length}`)
    assert.equal(await rows.count(), 21)
    await page.getByRole('link', { name: 'Next' }).click()
    // The other twenty are one row.
    await until('the second page is shown', async () => (await rows.count()) === 5)
    assert.deepEqual(await rows.locator('.rank').allTextContents(), ['21', '22', '23', '24', ''])

    await page.getByRole('searchbox').fill('matters of number 7')
    await page.keyboard.press('Enter')
    await until('one is found', async () => (await rows.count()) === 2)
    assert.equal(await rows.locator('.rank').first().textContent(), '7')
    await page.getByRole('searchbox').fill('OST-02')
    await page.keyboard.press('Enter')
    await page.getByRole('link', { name: '=1+1 and other sums' }).click()
    await page.getByRole('heading', { name: '=1+1 and other sums' }).waitFor()
    assert.equal(
      await page.getByRole('link', { name: 'Open the post' }).getAttribute('href'),
      'https://blog.example/2',
    )
    await page.context().close()
  })

  await t.test(
    'keeps the last numbers while Analytics is away, marked as old, and goes on when it is back',
    async () => {
      const page = await panel.page()
      await page.goto('/?period=7d')
      const views = figure(page, 'Views').locator('.value')
      const before = await views.textContent()
      panel.proxy.refuse()
      panel.proxy.reset()
      await page.getByText('Analytics has been unavailable').waitFor()
      await page.getByText(/since \d+ \w+ 20\d\d, \d\d:\d\d:\d\d/).waitFor()
      assert.equal(await views.textContent(), before)
      assert.equal(await page.locator('main.is-old').count(), 1)
      assert.match(
        (await page.locator('.freshness').textContent()) ?? '',
        /^Last read .*queue length unknown$/,
      )

      // A page that was never read has no number at all, rather than 0.
      const other = await panel.page()
      await other.goto('/posts/post-03?period=90d')
      await other.locator('.banner').waitFor()
      assert.deepEqual(await other.locator('.figure .value').allInnerTexts(), Array(4).fill('–\nunknown'))

      panel.tracker.trackView({ post_uuid: POST.id, user_id: null, ip: '198.51.100.3', user_agent: FIREFOX })
      panel.proxy.pass()
      await page.locator('.banner').waitFor({ state: 'detached' })
      await hasText(views, new RegExp(`^${Number(before) + 1}$`))
      await until('the other page is filled', async () => (await other.locator('.chart canvas').count()) > 0)
      await other.context().close()
      await page.context().close()
    },
  )

  await t.test('limits the attempts to sign in', async () => {
    const context = await panel.open()
    const page = await context.newPage()
    for (let attempt = 1; attempt <= 10; attempt++) {
      const body = new URLSearchParams({ password: `guess ${attempt}` })
      await fetch(`${panel.url}/sign-in`, { method: 'POST', body })
    }
    await signIn(page)
    await page.getByText(/Too many attempts\. Try again in \d+ min\./).waitFor()
    assert.equal((await context.cookies()).length, 0)
    await context.close()
  })
})
