/** What the sample blog answers, to whom, where nobody counts and nobody answers. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { StatsUnavailable, UTC } from '@postviews/client/src/index.ts'
import { pino } from 'pino'
import { renderToString } from 'preact-render-to-string'
import { buildBlog } from '../examples/blog/src/app.ts'
import { readConfig } from '../examples/blog/src/config.ts'
import { dashboardCsv, dashboardPage, readQuestion, rowsOf } from '../examples/blog/src/pages/dashboard.ts'
import { loadPosts, type Post } from '../examples/blog/src/posts.ts'
import { type AskedStats, comparisonOf } from '../examples/blog/src/statistics.ts'
import { ADA, type BlogSetup, INES, NOOR, POST, POSTS, startBlog } from './support/blog.ts'

const NOBODY_LISTENS = '127.0.0.1:1'

function startAlone(t: TestContext, setup: Partial<BlogSetup> = {}) {
  const nowhere = { amqpUrl: `amqp://${NOBODY_LISTENS}`, analyticsUrl: `http://${NOBODY_LISTENS}` }
  return startBlog(t, { ...nowhere, ...setup })
}

test("refuses another author's dashboard, and anybody's to who is no author", async t => {
  const { get, as, asked } = await startAlone(t)
  const [{ author }] = POSTS.filter(post => post.author.id !== INES) as [Post]
  const refused = await get(`/dashboard/${author.slug}`, await as(INES))
  assert.equal(refused.statusCode, 403)
  assert.ok(!POSTS.some(({ title }) => refused.body.includes(title)))
  assert.equal((await get('/dashboard', await as(ADA))).statusCode, 403)
  const anonymous = await get('/dashboard')
  assert.deepEqual([anonymous.statusCode, anonymous.headers.location], [303, '/sign-in?next=%2Fdashboard'])
  assert.equal(asked.length, 0)
})

test('asks nothing for an author without posts', async t => {
  const { get, as, asked } = await startAlone(t)
  const dashboard = await get('/dashboard', await as(NOOR))
  assert.match(dashboard.body, /You have not published anything yet/)
  assert.equal(asked.length, 0)
})

/** Analytics does not answer. */
const away = () => Promise.reject(new StatsUnavailable('away'))
const AWAY: AskedStats = {
  postsViews: away,
  postHours: away,
  postBreakdown: away,
  status: away,
  trendingPosts: away,
  topPosts: away,
}

test('fails, and makes nothing up, when the numbers cannot be read for a reason of its own', async t => {
  const app = await buildBlog({
    posts: POSTS,
    tracker: { trackView: () => {} },
    stats: {
      ...AWAY,
      postsViews: (): Promise<never> => Promise.reject(new Error('a mistake in the blog')),
    },
    trustedProxies: [],
    publicUrl: null,
    log: pino({ level: 'silent' }),
  })
  t.after(() => app.close())
  const signedIn = await app.inject({ method: 'POST', url: '/sign-in', payload: { person: String(INES) } })
  const cookies = Object.fromEntries(signedIn.cookies.map(({ name, value }) => [name, value]))
  const failed = await app.inject({ url: '/dashboard', cookies })
  assert.equal(failed.statusCode, 500)
  assert.ok(!failed.body.includes('a mistake in the blog'))
})

test('says of numbers that stand for fewer days from which on, and that today is not over', () => {
  const day = { date: '2026-11-21', views: 4, unique_views: 3, logged_in: 0, anonymous: 4, bots: 0 }
  const unknown = { ...day, date: '2026-11-10', views: null, unique_views: null }
  const counts = {
    as_of: '2026-11-21T12:00:00Z',
    timezone: 'UTC',
    posts: [
      {
        ...day,
        post_uuid: POST.id,
        first_viewed_at: '2026-11-01T12:00:00Z',
        last_viewed_at: '2026-11-21T12:00:00Z',
        details_since: '2026-11-11',
        days: [unknown, { ...day, date: '2026-11-11' }, day],
      },
    ],
  }
  const page = renderToString(
    dashboardPage({
      posts: [POST],
      counts,
      question: readQuestion({}),
      zone: UTC,
      reader: { ...POST.author, role: 'author' },
    }),
  )
  assert.match(page, /data-label="Views">8<small class="since">since 11 Nov 2026<\/small>/)
  assert.match(page, /data-label="Unique views">6<small class="since">since 11 Nov 2026<\/small>/)
  assert.match(page, /aria-label="Views per day, last 2 days: at most 4, today 4 so far"/)
  const [row] = rowsOf([POST], counts, 'newest')
  assert.match(dashboardCsv([row!]), /Z","","","4"\r\n$/, 'a sum of a part is not one of all')
})

test('sorts as asked, unknown last, and has defaults for what an address says wrongly', () => {
  const [first, second, third] = POSTS as [Post, Post, Post]
  const ofPost = (post: Post, views: number | null) => ({
    post_uuid: post.id,
    ...{ views, unique_views: views, logged_in: 0, anonymous: views, bots: 0 },
    ...{ first_viewed_at: null, last_viewed_at: null },
    days: [{ date: '2026-11-21', views, unique_views: views, logged_in: 0, anonymous: views, bots: 0 }],
  })
  const counts = {
    as_of: '2026-11-21T12:00:00Z',
    posts: [ofPost(first, null), ofPost(second, 1), ofPost(third, 7)],
  }
  const order = (sort?: string) =>
    rowsOf([first, second, third], counts, readQuestion(sort === undefined ? {} : { sort }).sort).map(
      ({ post }) => [first, second, third].indexOf(post),
    )
  assert.deepEqual(order(), [0, 1, 2])
  assert.deepEqual(order('views'), [2, 1, 0])
  assert.deepEqual(order('toString'), [0, 1, 2])
  assert.deepEqual(readQuestion({ days: '90', sort: 'unique' }), { days: 90, sort: 'unique' })
  assert.deepEqual(readQuestion({ days: '8', sort: '' }), { days: 30, sort: 'newest' })
  const formula = rowsOf([{ ...first, title: '=1+1, "x"' }], counts, 'newest')
  assert.match(dashboardCsv(formula), /\r\n"'=1\+1, ""x""",/)
})

test('compares a post with the median of the others at the same age, and with none that is not known then', () => {
  const on = (date: string) => ({ ...POST, id: date, publishedAt: new Date(`${date}T08:00:00Z`) })
  const [post, older, oldest, odd, tooOld] = [
    '2026-11-19',
    '2026-11-15',
    '2026-11-10',
    '2026-11-12',
    '2026-11-01',
  ].map(on) as [Post, Post, Post, Post, Post]
  const counts = {
    as_of: '2026-11-21T12:00:00Z',
    posts: [post, older, oldest, odd, tooOld].map(({ id, publishedAt }, nth) => ({
      ...{ post_uuid: id, views: 0, unique_views: 0, logged_in: 0, anonymous: 0, bots: 0 },
      ...{ first_viewed_at: null, last_viewed_at: null },
      // From the 8th on, as far as Analytics tells; each has its own views on its first two days, and many later.
      days: Array.from({ length: 14 }, (_, index) => {
        const date = `2026-11-${String(8 + index).padStart(2, '0')}`
        const age = (Date.parse(date) - Date.parse(publishedAt.toISOString().slice(0, 10))) / 86_400_000
        const views = age < 0 ? 0 : age < 2 ? [5, 2, 4, 9, 1][nth]! : 1_000
        return { date, views, unique_views: 0, logged_in: 0, anonymous: 0, bots: 0 }
      }),
    })),
  }
  const place = {
    today: '2026-11-21',
    dayOfPost: ({ publishedAt }: Post) => publishedAt.toISOString().slice(0, 10),
  }
  const compared = (...own: Post[]) => comparisonOf(post, own, counts, place)
  assert.deepEqual(compared(post, older, oldest, odd, tooOld), { ageDays: 2, views: 10, median: 8, posts: 3 })
  assert.deepEqual(compared(post, older, oldest), { ageDays: 2, views: 10, median: 6, posts: 2 })
  assert.equal(compared(post, tooOld), null)
  assert.equal(compared(post), null)
  // Of a post of today, no day is whole.
  assert.equal(comparisonOf(post, [post, older], counts, { ...place, today: '2026-11-19' }), null)
})

test('asks for no more posts at once than Analytics tells', async t => {
  const many = Array.from({ length: 450 }, (_, index) => ({ ...POST, id: `post-${index}` }))
  const asked: number[] = []
  const postsViews = async (ids: readonly (string | number)[]) => {
    asked.push(ids.length)
    const figures = { views: 1, unique_views: 1, logged_in: 0, anonymous: 1, bots: 0 }
    const times = { first_viewed_at: null, last_viewed_at: null }
    const posts = ids.map(id => ({ post_uuid: String(id), ...figures, ...times, days: [] }))
    return { as_of: '2026-11-21T12:00:00Z', posts }
  }
  const app = await buildBlog({
    posts: many,
    tracker: { trackView: () => {} },
    stats: { ...AWAY, postsViews },
    trustedProxies: [],
    publicUrl: null,
    log: pino({ level: 'silent' }),
  })
  t.after(() => app.close())
  const payload = { person: String(POST.author.id) }
  const signedIn = await app.inject({ method: 'POST', url: '/sign-in', payload })
  const cookies = Object.fromEntries(signedIn.cookies.map(({ name, value }) => [name, value]))
  const { body } = await app.inject({ url: '/dashboard', cookies })
  assert.deepEqual(asked, [200, 200, 50])
  assert.match(body, /<dd>450<\/dd>/)
})

test('takes nobody for signed in whose cookie it has not given, or who has signed out', async t => {
  const { app, get, as } = await startAlone(t)
  const { cookie } = await as(INES)
  const location = async (cookie: string) => (await get('/dashboard', { cookie })).headers.location
  assert.equal(await location(cookie), undefined)
  for (const forged of ['session=', 'session=1', 'session=%zz', `${cookie}x`, cookie.slice(0, -1)])
    assert.equal(await location(forged), '/sign-in?next=%2Fdashboard', forged)
  const other = await startAlone(t)
  assert.equal(await location((await other.as(INES)).cookie), '/sign-in?next=%2Fdashboard')

  // Copied, and in another browser meanwhile.
  const { cookie: elsewhere } = await as(INES)
  await app.inject({ method: 'POST', url: '/sign-out', headers: { cookie } })
  assert.equal(await location(cookie), '/sign-in?next=%2Fdashboard')
  assert.equal(await location(elsewhere), undefined)
  // Who signs in anew goes on in no session that was there before.
  await app.inject({
    method: 'POST',
    url: '/sign-in',
    headers: { cookie: elsewhere },
    payload: { person: String(ADA) },
  })
  assert.equal(await location(elsewhere), '/sign-in?next=%2Fdashboard')
})

test('signs in and out by its own forms alone, and leads on to its own pages alone', async t => {
  const { app, get, as } = await startAlone(t)
  const signIn = (payload: Record<string, string>, headers: Record<string, string> = {}) =>
    app.inject({ method: 'POST', url: '/sign-in', payload, headers })
  for (const from of ['cross-site', 'same-site']) {
    const refused = await signIn({ person: String(ADA) }, { 'sec-fetch-site': from })
    assert.equal(refused.statusCode, 403)
    assert.equal(refused.cookies.length, 0)
  }
  // Browsers without that header, or without TLS, say where a form comes from in another.
  const host = 'blog.example:3300'
  for (const origin of [
    'https://evil.example',
    'http://blog.example',
    'http://blog.example:3300.evil',
    'null',
    '',
  ]) {
    for (const url of ['/sign-in', '/sign-out']) {
      const headers = { origin, host, ...(await as(INES)) }
      const refused = await app.inject({ method: 'POST', url, headers, payload: { person: String(ADA) } })
      assert.equal(refused.statusCode, 403, `${url} from ${origin}`)
      assert.equal(refused.cookies.length, 0)
      assert.ok((await get('/dashboard', headers)).statusCode === 200, 'nothing was done')
    }
  }
  assert.equal((await signIn({ person: String(ADA) }, { origin: `http://${host}`, host })).statusCode, 303)
  const behind = await startAlone(t, { publicUrl: 'https://blog.example' })
  const headers = { origin: 'https://blog.example', host: 'upstream:3300' }
  const payload = { person: String(ADA) }
  const there = await behind.app.inject({ method: 'POST', url: '/sign-in', headers, payload })
  assert.equal(there.statusCode, 303)

  assert.equal((await signIn({ person: '99' })).statusCode, 400)

  const leadsTo = async (next: string) => (await signIn({ person: String(ADA), next })).headers.location
  assert.equal(await leadsTo(`/posts/${POST.slug}`), `/posts/${POST.slug}`)
  for (const next of [
    'https://elsewhere.example/',
    '//elsewhere.example',
    '/\\elsewhere.example',
    '/.//e.example',
  ]) {
    assert.equal(await leadsTo(next), '/', next)
  }
  const cookie = (await signIn({ person: String(ADA) }, { 'sec-fetch-site': 'same-origin' })).cookies[0]
  assert.deepEqual([cookie?.httpOnly, cookie?.sameSite, cookie?.path], [true, 'Lax', '/'])
  const out = await app.inject({ method: 'POST', url: '/sign-out' })
  assert.deepEqual([out.headers.location, out.cookies[0]?.value], ['/', ''])
})

test('tells the panel title, author, address and time of posts, by id, by text and by day', async t => {
  const { get } = await startAlone(t, { publicUrl: 'https://blog.example' })
  const posts = async (query: string) =>
    (await get(`/posts.json?${query}`)).json<{ posts: { id: string; url: string }[] }>().posts
  const [first, second] = POSTS as [Post, Post]
  assert.deepEqual(
    await posts(`ids=${second.id},0f8fad5b-d9cb-469f-a165-70867728950e,nonsense,${first.id}`),
    [
      {
        id: second.id,
        title: second.title,
        author: second.author.name,
        url: `https://blog.example/posts/${second.slug}`,
        published_at: second.publishedAt.toISOString(),
      },
      {
        id: first.id,
        title: first.title,
        author: first.author.name,
        url: `https://blog.example/posts/${first.slug}`,
        published_at: first.publishedAt.toISOString(),
      },
    ],
  )
  const found = async (query: string) =>
    (await posts(query)).map(({ id }) => POSTS.find(post => post.id === id)?.title)
  assert.deepEqual(await found('search=ZUREK'), ['Żurek on a Tuesday'])
  assert.deepEqual(await found(`search=${first.id.slice(0, 13)}`), [first.title])
  assert.equal(
    (await found('search=ines%20car')).length,
    POSTS.filter(({ author }) => author.id === INES).length,
  )
  assert.deepEqual(await found('search=a&limit=1'), [POSTS[0]!.title])
  assert.deepEqual(await found('search=no-such-title'), [])
  const day = second.publishedAt.toISOString().slice(0, 10)
  const ofDay = POSTS.filter(({ publishedAt }) => publishedAt.toISOString().startsWith(day))
  assert.deepEqual(
    await found(`published_from=${day}&published_to=${day}`),
    ofDay.map(({ title }) => title),
  )
  assert.deepEqual(await found('published_to=1999-12-31'), [])
  for (const limit of ['-1', 'many', '', '1e9']) assert.ok((await found(`limit=${limit}`)).length >= 1, limit)
  for (const query of ['ids=a&ids=b', 'search=a&search=b', 'published_to=a&published_to=b']) {
    assert.equal((await get(`/posts.json?${query}`)).statusCode, 400, query)
  }
})

test('builds no link from what a request says that the blog is called', async t => {
  for (const [setup, url] of [
    [{}, `/posts/${POST.slug}`],
    [{ publicUrl: 'https://blog.example' }, `https://blog.example/posts/${POST.slug}`],
  ] as const) {
    const { get } = await startAlone(t, { ...setup, trustedProxies: ['127.0.0.1'] })
    const headers = { host: 'evil.example', 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' }
    const { posts } = (await get(`/posts.json?ids=${POST.id}`, headers)).json()
    assert.equal(posts[0].url, url)
    for (const page of ['/', `/posts/${POST.slug}`, '/sign-in', '/nowhere'])
      assert.doesNotMatch((await get(page, headers)).body, /evil/)
  }
})

test('what the framework refuses is told on a page of the blog, with the same headers, and no address in it', async t => {
  const { app, get } = await startAlone(t)
  const post = (headers: Record<string, string>, payload: string) =>
    app.inject({ method: 'POST', url: '/sign-in?secret', headers, payload })
  const refused: [number, Awaited<ReturnType<typeof get>>][] = [
    [400, await get('/posts/%zz?secret')],
    [404, await get(`/posts/${'x'.repeat(5_000)}?secret`)],
    [404, await app.inject({ method: 'DELETE', url: '/secret' })],
    [415, await post({ 'content-type': 'text/xml' }, '<secret/>')],
    [400, await post({ 'content-type': 'application/json' }, '{secret')],
    [413, await post({ 'content-type': 'application/json' }, JSON.stringify('x'.repeat(2_000)))],
  ]
  const { headers: own } = await get('/')
  for (const [status, { statusCode, headers, body }] of refused) {
    assert.equal(statusCode, status)
    for (const name of Object.keys(own).filter(name => !/length|date|connection/.test(name)))
      assert.equal(headers[name], own[name], `${status}: ${name}`)
    assert.match(body, /^<!doctype html>/)
    assert.doesNotMatch(body, /secret|FST_/)
  }
})

test('says that it lives, to anybody, and counts nothing for it', async t => {
  const { get, asked, tracker } = await startAlone(t)
  const answer = await get('/livez')
  assert.equal(answer.statusCode, 200)
  assert.deepEqual(answer.json(), { status: 'alive' })
  assert.equal(tracker.stats().accepted, 0)
  assert.deepEqual(asked, [])
})

test('loads nothing from elsewhere, and lets no script run', async t => {
  const { get } = await startAlone(t)
  const home = await get('/')
  const policy = String(home.headers['content-security-policy'])
  assert.match(policy, /default-src 'none'/)
  assert.ok(!policy.includes('script-src') && !policy.includes('unsafe'))
  const style = /<link rel="stylesheet" href="(\/[^"]+)"/.exec(home.body)?.[1]
  assert.ok(style)
  assert.equal((await get(style)).headers['cache-control'], 'public, max-age=31536000, immutable')
  for (const { slug } of POSTS) {
    const { body } = await get(`/posts/${slug}`)
    assert.ok(!/<script|style=|(?:src|href)="(?:https?:)?\/\//.test(body), slug)
  }
})

test('has posts that are complete, with an id each, dated back from the day it is given', () => {
  assert.ok(POSTS.length >= 20)
  assert.equal(new Set(POSTS.map(({ id }) => id)).size, POSTS.length)
  for (const { id, title, summary, body, minutes, publishedAt } of POSTS) {
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    assert.ok(title !== '' && summary !== '' && body.length > 800 && minutes >= 1, title)
    assert.ok(publishedAt < new Date('2026-11-21T00:00:00Z'), title)
  }
  assert.equal(
    loadPosts('2026-12-21')[0]!.publishedAt.getTime() - POST.publishedAt.getTime(),
    30 * 86_400_000,
  )
})

test('does not start on wrong settings, and names all of them', () => {
  const good = { INTERNAL_API_KEY: 'key' }
  assert.equal(readConfig(good).publicUrl, null)
  const settings = { TRUSTED_PROXIES: ' 10.0.0.0/8, ::1 ', HOST: '', PUBLIC_URL: 'https://Blog.example/' }
  assert.deepEqual(readConfig({ ...good, ...settings }), {
    amqpUrls: ['amqp://guest:guest@127.0.0.1:5672'],
    analyticsUrl: 'http://127.0.0.1:3100',
    apiKey: 'key',
    host: '127.0.0.1',
    port: 3300,
    trustedProxies: ['10.0.0.0/8', '::1'],
    publicUrl: 'https://blog.example',
    sampleDay: null,
  })
  const nodes = ['amqp://guest:guest@one/blog', 'amqps://guest:guest@two/blog']
  assert.deepEqual(readConfig({ ...good, AMQP_URL: nodes.join(', ') }).amqpUrls, nodes)
  const relayed = ['unix:/run/postviews.sock', ...nodes]
  assert.deepEqual(readConfig({ ...good, AMQP_URL: relayed.join(',') }).amqpUrls, relayed)
  const wrong = {
    AMQP_URL: 'amqp://guest:hidden@one/blog,amqp://guest:hidden@two/wiki',
    ANALYTICS_URL: 'analytics:3100',
    INTERNAL_API_KEY: 'one,two',
    PORT: '65536',
    TRUSTED_PROXIES: '10.0.0.0/33',
    PUBLIC_URL: 'https://user:hidden@blog.example/',
    SAMPLE_DAY: '2026-02-30',
  }
  assert.throws(
    () => readConfig(wrong),
    (error: Error & { problems: string[] }) => {
      assert.deepEqual(
        error.problems.map(problem => problem.split(':')[0]),
        Object.keys(wrong),
      )
      assert.ok(!error.message.includes('hidden'))
      assert.match(
        error.message,
        /AMQP_URL: "amqp:.*" names several brokers, of which number 2 has another virtual host/,
      )
      assert.match(error.message, /PORT: "65536" is not a whole number from 0 to 65535/)
      return true
    },
  )
  assert.throws(() => readConfig({}), /INTERNAL_API_KEY: is not set/)
})
