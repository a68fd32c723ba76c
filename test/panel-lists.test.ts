/** The panel's lists, on the page and as files: whole, and adding up. */

import assert from 'node:assert/strict'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import type { ViewEvent } from '@postviews/client/src/index.ts'
import type { PostName } from '../packages/admin/src/pages/model.ts'
import { KEY, startPanel } from './support/panel-server.ts'
import { until } from './support/until.ts'
import { FIREFOX } from './support/views.ts'

const DAY = '2026-11-19'
const NAME_END = '-2026-10-23-to-2026-11-21-UTC.csv'

function view(post: string, fields: Partial<ViewEvent> = {}): ViewEvent {
  return { post_uuid: post, ip: '192.0.2.1', timestamp: `${DAY}T10:00:00Z`, ...fields }
}

/** The first of `count` posts has as many views, the last has one. */
function ranked(count: number): ViewEvent[] {
  return Array.from({ length: count }, (_, index) =>
    Array.from({ length: count - index }, () => view(`p${String(index + 1).padStart(3, '0')}`)),
  ).flat()
}

/** A message holds a thousand events at most. */
async function countAll(
  count: (events: readonly ViewEvent[]) => Promise<unknown>,
  events: readonly ViewEvent[],
): Promise<void> {
  for (let first = 0; first < events.length; first += 1_000) await count(events.slice(first, first + 1_000))
}

/** The lines of a file without its head, each cut at its commas. */
function linesOf(csv: string): string[][] {
  return csv
    .trimEnd()
    .split('\r\n')
    .slice(1)
    .map(line => line.split(','))
}

function sumOf(lines: string[][], column: number): number {
  return lines.reduce((sum, line) => sum + Number(line[column]), 0)
}

/** As many proxies ask what is behind them. */
function downloadInHttp10(port: number, cookie: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(`GET /posts.csv HTTP/1.0\r\nCookie: ${cookie}\r\n\r\n`)
  return text(socket)
}

function namesOf(ids: readonly string[]): Map<string, PostName> {
  return new Map(ids.map(id => [id, { title: `Title of ${id}`, author: null, url: null, publishedAt: null }]))
}

test('a list of posts adds up on every page, is ranked as a whole and measured by its first', async t => {
  const { count, overview, get } = await startPanel(t)
  await count(ranked(29))
  const views = (29 * 30) / 2
  for (const page of [1, 2]) {
    const { posts, others, mostViews } = await overview(`?page=${page}`)
    const first = (page - 1) * 20
    assert.deepEqual(
      posts.map(({ id, rank }) => [id, rank]),
      posts.map((_, index) => [`p${String(first + index + 1).padStart(3, '0')}`, first + index + 1]),
    )
    assert.equal(mostViews, 29)
    assert.equal(others?.posts, 29 - posts.length)
    assert.equal(posts.reduce((sum, post) => sum + post.views!, 0) + others!.views!, views)
    assert.equal(posts.reduce((sum, post) => sum + post.unique_views!, 0) + others!.unique_views!, 29)
  }
  const page = (await get('/?page=2')).body
  assert.match(page, /20 other posts/)
  // Rank 21 has 9 views of the first one's 29.
  assert.match(page, /<td role="cell" class="rank">21<\/td>.*?<rect width="31\.0%"/s)
})

test('a search keeps the rank of the whole list, and tells what it leaves out', async t => {
  const found = Array.from({ length: 50 }, (_, index) => `p${String(index + 1).padStart(3, '0')}`)
  const search = async (text: string) => ({
    ids: text === 'some' ? ['p007', 'p021', 'never'] : found,
    from: 'known' as const,
  })
  const names = async (ids: readonly string[]) => ({ names: namesOf(ids), from: 'known' as const })
  const { count, overview, get } = await startPanel(t, { posts: { search, names } })
  await countAll(count, ranked(60))
  const { posts, others, mostViews, mayBeMore } = await overview('?q=some')
  assert.deepEqual(
    posts.filter(({ views }) => views !== 0).map(({ id, rank, views }) => [id, rank, views]),
    [
      ['p007', 7, 54],
      ['p021', 21, 40],
    ],
  )
  assert.deepEqual([posts.at(-1)?.rank, posts.at(-1)?.views], [null, 0])
  assert.deepEqual([mostViews, mayBeMore], [60, false])
  assert.deepEqual(others, { posts: 58, views: (60 * 61) / 2 - 94, unique_views: 58 })
  const page = (await get('/?q=some')).body
  assert.match(page, /<rect width="90\.0%"/, '54 of 60')
  assert.match(page, /58 other posts/)
  // As many as the posts service tells at once.
  assert.match((await get('/?q=many')).body, /the first 5\d found/)

  const file = await get('/posts.csv?q=some')
  assert.equal(file.headers['content-disposition'], `attachment; filename="postviews-found-posts${NAME_END}"`)
  const lines = linesOf(file.body)
  assert.equal(lines.at(-1)?.[1], '58 other posts')
  assert.equal(sumOf(lines, 3), (60 * 61) / 2)
})

test('what a part of an id finds has its rank, too, and is a file as it is a page', async t => {
  const { count, overview, get } = await startPanel(t, { timeZone: 'Europe/Warsaw' })
  await countAll(count, ranked(60))
  const few = await overview('?q=P02')
  assert.deepEqual(
    few.posts.map(({ id, rank }) => [id, rank]),
    Array.from({ length: 10 }, (_, index) => [`p02${index}`, 20 + index]),
  )
  assert.deepEqual([few.totalPosts, few.others?.posts, few.mayBeMore], [10, 50, false])
  const many = await overview('?q=p0')
  assert.deepEqual([many.totalPosts, many.others?.posts, many.mayBeMore], [50, 10, true])
  const { headers, body } = await get('/posts.csv?q=P02')
  assert.match(String(headers['content-disposition']), /"postviews-found-posts-.*-Europe-Warsaw\.csv"$/)
  assert.equal(linesOf(body).length, 11)
  assert.equal(sumOf(linesOf(body), 3), (60 * 61) / 2)
})

test('a post that was first viewed today has a line that rises', async t => {
  const { count, overview } = await startPanel(t)
  await count([
    view('old'),
    view('new', { timestamp: '2026-11-21T09:00:00Z' }),
    view('new', { timestamp: '2026-11-21T10:00:00Z' }),
  ])
  const { posts } = await overview('?period=7d')
  const { spark } = posts.find(({ id }) => id === 'new')!
  assert.deepEqual(spark, { points: [...Array(13).fill(0), 2], isUnfinished: true })
})

test('a period that is still to come has no numbers, on the page or as a file', async t => {
  const { count, get, overview } = await startPanel(t)
  await count([view('a'), view('a', { referer: 'https://news.example/' })])
  const query = '?from=2026-11-22&to=2026-11-30'
  for (const path of ['/', '/posts/a']) {
    const page = (await get(`${path}${query}`)).body
    assert.match(page, /<dd class="value"><span title="Unknown">.*These days are still to come/s)
    assert.doesNotMatch(page, /<dd class="value">0|No views on these days|Download CSV/)
    for (const file of ['days.csv', 'lists/referrer/values.csv']) {
      assert.equal((await get(`${path === '/' ? '' : path}/${file}${query}`)).statusCode, 400, file)
    }
  }
  assert.equal((await get(`/posts.csv${query}`)).statusCode, 400)
  assert.deepEqual((await overview(query)).trend.sums.views, { value: null, since: null })
  // What has begun is told up to today.
  assert.equal((await overview('?from=2026-11-19&to=2026-11-30')).trend.sums.views.value, 2)
})

test('a whole list is read page by page, and its rows add up on the last', async t => {
  const { count, get } = await startPanel(t)
  const hosts = Array.from({ length: 250 }, (_, index) => `${1_000 + index}.example`)
  await countAll(count, [
    ...hosts.map(host => view('a', { referer: `https://${host}/` })),
    ...hosts.slice(0, 5).map(host => view('a', { referer: `https://${host}/` })),
    view('a', { user_agent: 'Googlebot/2.1', referer: 'https://1000.example/' }),
  ])
  const list = async (query: string) => (await get(`/posts/a/lists/referrer/data${query}`)).json().data
  const first = await list('')
  assert.deepEqual(
    [first.list.rows.length, first.list.total, first.list.views, first.mostViews],
    [101, 250, 255, 2],
  )
  assert.deepEqual(first.list.rows.at(-1), {
    kind: 'other',
    value: null,
    views: 150,
    values: { count: 150, isMore: false },
  })
  const last = await list('?page=3')
  assert.equal(last.list.rows[0].value, '1200.example')
  assert.equal(last.mostViews, 2)
  assert.equal((await list('?who=all')).list.views, 256)
  assert.equal((await get('/lists/hour')).statusCode, 404)
  assert.equal((await get('/posts/a/lists/nothing/data')).statusCode, 404)
})

test('tells machines by name, what they are for, and what AI sends', async t => {
  const { count, get } = await startPanel(t)
  await count([
    view('a', { user_agent: 'Mozilla/5.0 (compatible; ChatGPT-User/1.0; +https://openai.com/bot)' }),
    view('a', { user_agent: 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)' }),
    view('b', { referer: 'https://chatgpt.com/', user_agent: FIREFOX }),
  ])
  const { data } = (await get('/machines/data?period=7d&who=people')).json()
  assert.deepEqual(
    data.lists.machines.rows.map(({ value }: { value: string }) => value),
    ['ChatGPT-User', 'Googlebot'],
  )
  assert.equal(data.trend.sums.views.value, 2)
  assert.deepEqual([data.trend.rest.who, data.trend.rest.sum.value], ['people', 1])
  const onDay = (days: { date: string; views: number }[]) => days.find(({ date }) => date === DAY)?.views
  assert.deepEqual([onDay(data.ai.answers), onDay(data.ai.readers)], [1, 1])
  assert.deepEqual(
    data.posts.map(({ id, views }: { id: string; views: number }) => [id, views]),
    [['a', 2]],
  )
})

test('tells the change of posts, unless not all of the days before were counted', async t => {
  const { count, overview, get } = await startPanel(t)
  await count([
    view('first', { timestamp: '2026-11-01T10:00:00Z' }),
    view('rose', { timestamp: '2026-11-10T10:00:00Z' }),
    view('rose', { timestamp: '2026-11-16T10:00:00Z' }),
    view('rose', { timestamp: '2026-11-17T10:00:00Z' }),
    view('fell', { timestamp: '2026-11-11T10:00:00Z' }),
    view('fell', { timestamp: '2026-11-12T10:00:00Z' }),
    view('fell', { timestamp: '2026-11-19T10:00:00Z' }),
  ])
  const changes = async (query: string) => (await overview(query)).posts.map(({ id, change }) => [id, change])
  assert.deepEqual(await changes('?period=7d'), [
    ['rose', 1],
    ['fell', -1],
  ])
  assert.deepEqual(await changes('?period=7d&sort=change&order=asc'), [
    ['fell', -1],
    ['rose', 1],
  ])
  assert.equal((await overview('?period=7d&sort=change')).others, null)
  assert.match((await get('/posts.csv?period=7d&sort=change')).body, /,change\r\nrose,,,2,2,1\r\n/)
  const all = await overview('?period=90d&sort=change')
  assert.equal(all.hasChange, false)
  assert.deepEqual(
    all.posts.map(({ id, change }) => [id, change]),
    [
      ['fell', null],
      ['rose', null],
      ['first', null],
    ],
  )
})

test('all time begins with the first view, also where that is longer ago than one answer reaches', async t => {
  const { count, overview } = await startPanel(t)
  await count([view('old', { timestamp: '2024-03-10T10:00:00Z' }), view('a'), view('a')])
  const { trend, posts, lists } = await overview('?period=all')
  assert.deepEqual(trend.period, { from: '2024-03-10', to: '2026-11-21' })
  assert.equal(trend.days.length, 987)
  assert.equal(trend.sums.views.value, 3)
  assert.equal(trend.before, null)
  assert.deepEqual(
    posts.map(({ id, views }) => [id, views]),
    [
      ['a', 2],
      ['old', 1],
    ],
  )
  assert.deepEqual([lists.sources?.since, lists.sources?.views], ['2024-09-13', 2])
})

test('compares with nothing that nobody counted', async t => {
  const { count, get, overview } = await startPanel(t)
  // The first view of all: the period before, of seven days from the 8th on, is known from then.
  await count([view('a', { timestamp: '2026-11-12T10:00:00Z' }), view('a')])
  assert.equal((await overview('?period=7d')).trend.before?.countedSince, '2026-11-12')
  assert.match((await get('/?period=7d')).body, /not compared: the first view was on 12 Nov 2026/)
  await count([view('b', { timestamp: '2026-11-01T10:00:00Z' })])
  assert.equal((await overview('?period=7d&compare=1')).trend.before?.countedSince, null)
  assert.match((await get('/posts/a?period=7d&compare=1')).body, /no change without today/)
})

test('files hold the whole list, whatever the page shows, and say in their name what they are', async t => {
  const { count, get } = await startPanel(t)
  const hosts = Array.from({ length: 13 }, (_, index) => `${10 + index}.example`)
  await count([
    ...ranked(29),
    ...hosts.map(host => view('p001', { referer: `https://${host}/` })),
    view('p002', { referer: 'https://elsewhere.example/' }),
  ])
  const views = (29 * 30) / 2 + 14
  const posts = await get('/posts.csv?page=2')
  assert.equal(posts.headers['content-disposition'], `attachment; filename="postviews-posts${NAME_END}"`)
  assert.equal(linesOf(posts.body).length, 29)
  assert.equal(sumOf(linesOf(posts.body), 3), views)

  const ofSite = await get('/lists/referrer/values.csv')
  assert.equal(ofSite.headers['content-disposition'], `attachment; filename="postviews-referrer${NAME_END}"`)
  assert.equal(linesOf(ofSite.body).length, 15, 'hosts, and those that told none')
  assert.equal(sumOf(linesOf(ofSite.body), 1), views)
  assert.match((await get('/?sources=referrer')).body, /4 other sites/)

  const ofPost = await get('/posts/p001/lists/referrer/values.csv?period=7d')
  assert.equal(
    ofPost.headers['content-disposition'],
    'attachment; filename="postviews-post-p001-referrer-2026-11-15-to-2026-11-21-UTC.csv"',
  )
  assert.deepEqual(
    linesOf(ofPost.body)
      .map(([host]) => host)
      .toSorted(),
    ['', ...hosts],
  )
  // A short period is shown, and told, with some days before it.
  const days = await get('/days.csv?from=2026-11-20&to=2026-11-21')
  assert.equal(
    days.headers['content-disposition'],
    'attachment; filename="postviews-days-2026-11-08-to-2026-11-21-UTC.csv"',
  )
  assert.equal(linesOf(days.body).length, 14)
  const hours = await get('/days.csv?period=today&who=all')
  assert.equal(
    hours.headers['content-disposition'],
    'attachment; filename="postviews-hours-of-all-2026-11-21-to-2026-11-21-UTC.csv"',
  )
  assert.equal(linesOf(hours.body).length, 24)
  const found = await get('/posts.csv?q=p00')
  // What Excel knows UTF-8 by, once.
  for (const { body } of [posts, ofSite, ofPost, days, hours, found]) assert.match(body, /^\uFEFF[^\uFEFF]+$/)
})

test('reads a long list page by page, each row once although others rise meanwhile, and adds up', async t => {
  const asked: number[] = []
  const names = async (ids: readonly string[]) => {
    asked.push(ids.length)
    return { names: namesOf(ids), from: 'known' as const }
  }
  const search = async () => ({ ids: [], from: 'known' as const })
  let rise = async () => {}
  const { app, count, get, overview } = await startPanel(t, {
    posts: { names, search },
    beforeAsked: async path => {
      if (path.includes('offset=2000')) await rise()
    },
  })
  const ids = Array.from({ length: 2_300 }, (_, index) => `p${String(index + 1).padStart(4, '0')}`)
  await countAll(
    count,
    ids.map(id => view(id)),
  )
  const top = `/api/v1/posts/top?from=2026-10-23&to=2026-11-21&limit=1`
  rise = async () => {
    await count([view('p2250'), view('p2251'), view('p0007')])
    // A list may be some seconds old.
    await until('the list has risen', async () => {
      const { body } = await app.inject({ url: top, headers: { 'x-internal-api-key': KEY } })
      return JSON.parse(body).posts[0].views === 2
    })
  }
  const { headers, body } = await get('/posts.csv')
  assert.match(String(headers['content-type']), /^text\/csv/)
  const lines = linesOf(body)
  const listed = lines.slice(0, -1).map(([id]) => id!)
  assert.equal(new Set(listed).size, listed.length)
  assert.deepEqual(
    ids.filter(id => !listed.includes(id)),
    ['p2250', 'p2251'],
    'those that have passed what was written',
  )
  assert.equal(lines[0]![1], 'Title of p0001')
  assert.equal(lines.at(-1)![1], '2 other posts')
  assert.equal(sumOf(lines, 3), 2_303)
  assert.equal((await overview()).trend.sums.views.value, 2_303)
})

test('reads a long list of hosts page by page', async t => {
  const { count, get, asked } = await startPanel(t)
  const hosts = Array.from({ length: 1_200 }, (_, index) => `${1_000 + index}.example`)
  await countAll(
    count,
    hosts.map(host => view('a', { referer: `https://${host}/` })),
  )
  const { body } = await get('/posts/a/lists/referrer/values.csv')
  assert.deepEqual(
    linesOf(body).map(([host]) => host),
    hosts,
  )
  assert.ok(asked.some(({ path }) => path.includes('offset=1000')))
  assert.match((await get('/?sources=referrer')).body, /1,190 other sites/)
})

test('what breaks in the middle of a file ends the connection, so that it does not look whole', async t => {
  let isAway = false
  let away = 'offset=1000'
  const names = async () =>
    away === 'titles' && isAway
      ? { names: new Map(), from: 'away' as const }
      : { names: new Map(), from: 'known' as const }
  const { count, panel, cookie } = await startPanel(t, {
    posts: { names, search: async () => ({ ids: [], from: 'known' as const }) },
    beforeAsked: path => {
      if (path.includes('offset=1000')) isAway = true
      if (isAway && path.includes(away)) throw new TypeError('fetch failed')
    },
  })
  await countAll(
    count,
    Array.from({ length: 1_200 }, (_, index) => view(`p${index}`)),
  )
  await panel.listen({ port: 0, host: '127.0.0.1' })
  const { port } = panel.server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  const download = (encoding: string) =>
    fetch(`${url}/posts.csv`, { headers: { cookie, accept: 'text/html', 'accept-encoding': encoding } })
  for (away of ['offset=1000', 'views/daily?from', 'titles']) {
    for (const encoding of ['identity', 'gzip', 'br']) {
      isAway = false
      const response = await download(encoding)
      assert.equal(response.status, 200)
      await assert.rejects(response.text(), `${away} ${encoding}`)
    }
  }
  // There the end of the connection is the end of the file.
  for (away of ['offset=1000', 'views/daily?from', 'titles']) {
    isAway = false
    await assert.rejects(downloadInHttp10(port, cookie), { code: 'ECONNRESET' }, away)
  }
  away = 'nothing'
  assert.equal(linesOf(await (await download('gzip')).text()).length, 1_200)
  assert.equal((await downloadInHttp10(port, cookie)).trimEnd().split('\r\n').at(-1)!.split(',').length, 5)
})

test('a file that is not whole when the panel ends does not look so in HTTP/1.0 either', async t => {
  const [isAsked, isAnswered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const { count, panel, cookie } = await startPanel(t, {
    async beforeAsked(path) {
      if (!path.includes('offset=1000')) return
      isAsked.resolve()
      await isAnswered.promise
    },
  })
  await countAll(
    count,
    Array.from({ length: 1_200 }, (_, index) => view(`p${index}`)),
  )
  await panel.listen({ port: 0, host: '127.0.0.1' })
  const { port } = panel.server.address() as AddressInfo
  const isCut = assert.rejects(downloadInHttp10(port, cookie), { code: 'ECONNRESET' })
  await isAsked.promise
  const isClosed = panel.close()
  await isCut
  isAnswered.resolve()
  await isClosed
})

test('makes no file where not even its beginning can be read', async t => {
  const { get, count, closeStore } = await startPanel(t)
  await count([view('a')])
  assert.equal((await get('/posts.csv')).statusCode, 200)
  await closeStore()
  for (const path of [
    '/posts.csv',
    '/lists/referrer/values.csv',
    '/posts/a/lists/referrer/values.csv',
    '/days.csv',
  ]) {
    assert.equal((await get(path)).statusCode, 503, path)
  }
})
