/** The sample blog, on a real broker and the real service. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Post } from '../examples/blog/src/posts.ts'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { holdFreePort } from '../tools/stack/ports.ts'
import { Server } from '../tools/stack/server.ts'
import { ADA, countsIn, INES, MAREN, POST, POSTS, STATS_TIMEOUT_MS, startBlog } from './support/blog.ts'
import { SQLITE, type TestDatabase } from './support/engines.ts'
import { API_KEY, startService } from './support/service.ts'
import { startTcpProxy } from './support/tcp-proxy.ts'
import { until } from './support/until.ts'
import { FIREFOX } from './support/views.ts'

test('the blog, on a real broker and the real service', async t => {
  const broker = await testRabbitmq()
  const database = await SQLITE.create(t)
  const service = await startService(t, {
    amqpUrl: broker.url,
    databaseUrl: database.url,
    settings: { STATS_TIMEZONE: 'Asia/Kolkata' },
  })
  await service.untilReady()
  const system = { amqpUrl: broker.url, analyticsUrl: service.url }

  await t.test(
    'counts a post that was shown, with its reader, and nothing else that was asked for',
    async t => {
      const { app, get, as } = await startBlog(t, system)
      const seen = { referer: 'https://example.org/links', 'x-forwarded-for': '192.0.2.66' }
      const page = await get(`/posts/${POST.slug}`, { ...(await as(ADA)), ...seen })
      assert.equal(page.statusCode, 200)
      assert.ok(page.body.includes(POST.body))
      for (const url of [
        '/',
        '/sign-in',
        `/authors/${POST.author.slug}`,
        '/posts.json',
        '/posts/no-such-post',
      ]) {
        await get(url)
      }
      await app.inject({ method: 'HEAD', url: `/posts/${POST.slug}` })
      for (const inAdvance of [
        { 'sec-purpose': 'prefetch;prerender' },
        { purpose: 'prefetch' },
        { 'x-moz': 'prefetch' },
        { 'x-purpose': 'preview' },
      ]) {
        assert.equal((await get(`/posts/${POST.slug}`, inAdvance)).statusCode, 200)
      }
      await get(`/posts/${POST.slug}`)

      const view = { ip: '127.0.0.1', user_agent: FIREFOX }
      assert.deepEqual(await storedViews(database, POST, 2), [
        // Nobody has said that a proxy is to be trusted, so the address is that of the connection.
        { ...view, user_id: String(ADA), referer: 'https://example.org/links' },
        { ...view, user_id: null, referer: null },
      ])
      const [all] = await database.query('SELECT COUNT(*) AS views FROM post_views')
      assert.equal(all!['views'], 2)
    },
  )

  await t.test('counts the reader behind a proxy that it was told to trust', async t => {
    const { get } = await startBlog(t, { ...system, trustedProxies: ['127.0.0.1', '10.0.0.0/8'] })
    const post = POSTS[1]!
    await get(`/posts/${post.slug}`, { 'x-forwarded-for': '192.0.2.66, 203.0.113.9, 10.1.2.3' })
    assert.equal((await storedViews(database, post, 1))[0]?.['ip'], '203.0.113.9')
  })

  await t.test('shows authors the counts of their own posts, and only those, from one question', async t => {
    const { get, as, asked } = await startBlog(t, system)
    const own = POSTS.filter(({ author }) => author.id === MAREN) as [Post, Post]
    for (const { slug } of [own[0], own[0], own[1], POST]) await get(`/posts/${slug}`)
    await storedViews(database, own[0], 2)
    await storedViews(database, own[1], 1)

    const maren = await as(MAREN)
    const dashboard = await get('/dashboard', maren)
    assert.equal(dashboard.statusCode, 200)
    const counts = [
      ['2', '1', '2'],
      ['1', '1', '1'],
    ]
    assert.deepEqual(
      [...countsIn(dashboard.body)],
      own.map(({ title }, index) => [title, counts[index] ?? ['0', '0', '0']]),
    )
    // The other is for the zone whose days are counted, and its clocks.
    assert.deepEqual(asked.map(url => new URL(url).pathname).toSorted(), [
      '/api/v1/posts/views',
      '/api/v1/status',
    ])
    assert.match(asked.join(), /\/api\/v1\/posts\/views\?.*days=30&who=people/)
    assert.equal(dashboard.body.match(/<svg class="spark"/g)?.length, own.length)
    assert.match(dashboard.body, /aria-label="Views per day, last 30 days: at most 2, today 2 so far"/)
    assert.match(dashboard.body, /As of <time datetime="\d{4}-\d\d-\d\dT[^>]*>\d\d:\d\d:\d\d Asia\/Kolkata</)
    assert.match(dashboard.body, /Days are those of\s+Asia\/Kolkata\./)
    assert.equal((await get('/dashboard/maren', maren)).statusCode, 200)

    const file = await get('/dashboard.csv?days=7&sort=views', maren)
    assert.match(String(file.headers['content-disposition']), /filename="views-of-7-days\.csv"/)
    assert.match(file.body, /^\uFEFF"title","published_at","views","unique_views","views_in_total"\r\n/)
    assert.match(file.body.split('\r\n')[1]!, /Z","2","1","2"$/)
  })

  await t.test(
    'shows authors what their own posts did, and how people came to them, but not those of others',
    async t => {
      const { get, as } = await startBlog(t, system)
      const post = POSTS.find(({ author }) => author.id === INES)!
      const google = { referer: 'https://www.google.com/' }
      await get(`/posts/${post.slug}`, google)
      await get(`/posts/${post.slug}`, {
        ...google,
        'user-agent': 'Googlebot/2.1 (+http://www.google.com/bot.html)',
      })
      await until('both are counted', async () => {
        const { text } = await service.get(`/api/v1/posts/${post.id}/breakdowns/source`)
        return text.includes('"Google","views":2')
      })
      const ines = await as(INES)
      const page = await get(`/dashboard/posts/${post.slug}`, ines)
      assert.equal(page.statusCode, 200)
      const sources = page.body.slice(page.body.indexOf('Where readers'))
      assert.match(sources, /<th scope="row">Google<\/th><td class="number" data-label="Views">1<\/td>/)
      assert.match(page.body, /The first 48 hours/)
      assert.match(page.body, /Beside your other posts/)
      assert.equal((await get(`/dashboard/posts/${post.slug}`, await as(MAREN))).statusCode, 403)
      assert.equal((await get(`/dashboard/posts/${post.slug}`)).statusCode, 303)
      assert.equal((await get('/dashboard/posts/none', ines)).statusCode, 404)
      assert.equal((await get('/dashboard.csv')).statusCode, 303)
    },
  )

  await t.test('shows everybody what is read most, without waiting for it, and without the key', async t => {
    const { get, asked } = await startBlog(t, system)
    const post = POSTS.find(({ author }) => author.id === MAREN)!
    // A list of Analytics may be some seconds old.
    await until('Analytics lists it', async () => {
      const { text } = await service.get('/api/v1/posts/top?period=7d&who=people')
      return text.includes(post.id)
    })
    assert.ok(!(await get('/')).body.includes('Most read'), 'nobody waits for it')
    let body = ''
    await until('the list is known', async () => {
      body = (await get('/')).body
      return body.includes('Most read')
    })
    const [, list = ''] = /<h2 id="most-read">Most read<\/h2>(.*?)<\/section>/s.exec(body) ?? []
    const slugs = [...list.matchAll(/href="\/posts\/([^"]+)"/g)].map(([, slug]) => slug!)
    assert.ok(slugs.includes(post.slug), slugs.join())
    assert.ok(!body.includes(API_KEY))
    assert.deepEqual(
      asked.map(url => new URL(url).pathname).toSorted(),
      ['/api/v1/posts/top', '/api/v1/posts/trending'],
      'once a minute at most',
    )
  })

  await t.test(
    'serves its pages while the broker is away; the views of that time arrive once it is back',
    async t => {
      const proxy = await startTcpProxy(Number(new URL(broker.url).port))
      t.after(() => proxy.close())
      const { get, tracker } = await startBlog(t, { ...system, amqpUrl: proxy.through(broker.url) })
      await until('the tracker is connected', () => tracker.stats().connected)
      proxy.refuse()
      proxy.reset()
      await until('the broker is lost', () => !tracker.stats().connected)
      const post = POSTS.find(({ author }) => author.slug === 'dov')!
      const referers = Array.from({ length: 20 }, (_, index) => `https://example.org/${index + 1}`)
      for (const referer of referers) {
        assert.equal((await get(`/posts/${post.slug}`, { referer })).statusCode, 200)
      }
      assert.equal(tracker.stats().pending, 20)
      proxy.pass()
      const stored = await storedViews(database, post, 20)
      assert.deepEqual(stored.map(({ referer }) => referer).sort(), referers.sort())
    },
  )

  await t.test('publishes what it has shown before it ends', async t => {
    const { blog, url, log } = await startProcess(t, broker.url)
    const post = POSTS.find(({ author }) => author.slug === 'yuki')!
    await Promise.all(Array.from({ length: 30 }, () => fetch(`${url}/posts/${post.slug}`)))
    const ended = blog.untilEnded()
    await blog.stop()
    assert.equal(await ended, 'exit code 0')
    assert.match(log(), /"confirmed":30,"pending":0,.*"dropped":0,.*"event":"blog.stopped"/)
    // Neither who reads, nor with what, nor how to get into the broker.
    assert.ok(!/user.agent|guest/i.test(log()))
    assert.equal((await storedViews(database, post, 30)).length, 30)
  })

  await t.test(
    'says that counts are unavailable, never 0, while analytics does not answer or is away',
    async t => {
      const { get, as, asked } = await startBlog(t, system)
      const ines = await as(INES)
      service.kill('SIGSTOP')
      await assertUnavailable(() => get('/dashboard', ines))
      await get('/')
      const questions = asked.length
      for (const url of ['/', `/posts/${POST.slug}`, '/authors/ines', '/posts.json', '/sign-in']) {
        assert.equal((await get(url)).statusCode, 200)
      }
      assert.equal(asked.length, questions, 'no other page asks analytics')
      service.kill('SIGCONT')
      await until('it shows counts again', async () =>
        (await get('/dashboard', ines)).body.includes('As of <time'),
      )
      await service.end('SIGKILL')
      await assertUnavailable(() => get('/dashboard', ines))
    },
  )
})

async function assertUnavailable(ask: () => Promise<{ statusCode: number; body: string }>): Promise<void> {
  const titles = POSTS.filter(({ author }) => author.id === INES).map(({ title }) => title)
  const startedMs = performance.now()
  const { statusCode, body } = await ask()
  assert.ok(performance.now() - startedMs < STATS_TIMEOUT_MS + 1_000)
  assert.equal(statusCode, 200)
  assert.match(body, /View counts are unavailable right now/)
  assert.deepEqual(
    [...countsIn(body)],
    titles.map(title => [title, ['–unavailable', '–unavailable', '–unavailable']]),
  )
  assert.ok(!body.includes('class="spark"'))
}

/** The blog as it is run: a process of its own. */
async function startProcess(t: TestContext, amqpUrl: string) {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-blog-'))
  const port = await holdFreePort()
  const url = `http://127.0.0.1:${port.port}`
  const logFile = join(folder, 'log')
  const blog = new Server({
    name: 'blog',
    command: [process.execPath, join(import.meta.dirname, '../examples/blog/src/main.ts')],
    env: {
      PATH: process.env['PATH'],
      AMQP_URL: amqpUrl,
      INTERNAL_API_KEY: API_KEY,
      PORT: String(port.port),
    },
    cwd: folder,
    logFile,
    ready: () =>
      fetch(url).then(
        ({ ok }) => ok,
        () => false, // Not listening yet.
      ),
    startTimeoutMs: 20_000,
    stopTimeoutMs: 20_000,
  })
  t.after(async () => {
    await blog.kill()
    port.release()
    await rm(folder, { recursive: true })
  })
  await blog.start()
  return { blog, url, log: () => readFileSync(logFile, 'utf8') }
}

/** What is kept of each view of the post, once there are so many. */
async function storedViews(database: TestDatabase, post: Post, count: number) {
  const ofPost = `FROM post_views WHERE post_uuid = '${post.id}'`
  await until(`${count} views are stored`, async () => {
    const [row] = await database.query(`SELECT COUNT(*) AS views ${ofPost}`)
    return Number(row!['views']) >= count
  })
  const rows = await database.query(`SELECT user_id, ip, user_agent, referer ${ofPost} ORDER BY id`)
  return rows.map(row => ({ ...row }))
}
