import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { describe, type TestContext, test } from 'node:test'
import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import {
  createStats,
  type Stats,
  StatsBadRequest,
  StatsError,
  type StatsOptions,
  StatsRefused,
  StatsUnavailable,
} from './stats.ts'

const KEY = 'a-key-that-must-not-leak'
const UUID = '0190163d-8694-739b-aea5-966c26f8ad90'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** A server that gives these answers, and a client of it. */
async function statsOf(
  t: TestContext,
  answer: Answer,
  options: Partial<StatsOptions> = {},
): Promise<{ stats: Stats; asked: IncomingMessage[]; baseUrl: string }> {
  const asked: IncomingMessage[] = []
  const server = createServer((request, response) => {
    asked.push(request)
    answer(request, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const baseUrl = `http://127.0.0.1:${address.port}`
  return { stats: createStats({ baseUrl, key: KEY, ...options }), asked, baseUrl }
}

function json(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
  return (_, response) => {
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers })
    response.end(JSON.stringify(body))
  }
}

/** The error that a call rejects with: a StatsError of this class, without the key. */
async function rejection(call: Promise<unknown>, kind: typeof StatsError | typeof StatsBadRequest) {
  const error = await call.then(
    () => assert.fail('it was answered'),
    (error: unknown) => error,
  )
  assert.ok(error instanceof kind && error instanceof StatsError, String(error))
  assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }), new RegExp(KEY))
  return error
}

describe('each question is asked under its route, with the key', () => {
  const questions: [string, (stats: Stats) => Promise<unknown>, string][] = [
    ['postViews', stats => stats.postViews(UUID.toUpperCase()), `/api/v1/posts/${UUID}/views`],
    ['postViews of a number', stats => stats.postViews(7), '/api/v1/posts/7/views'],
    ['postDays', stats => stats.postDays('a'), '/api/v1/posts/a/views/daily'],
    ['postDays of so many', stats => stats.postDays('a', { days: 7 }), '/api/v1/posts/a/views/daily?days=7'],
    [
      'postDays of a period',
      stats => stats.postDays('a', { from: '2026-01-01', to: '2026-01-31' }),
      '/api/v1/posts/a/views/daily?from=2026-01-01&to=2026-01-31',
    ],
    ['postReferrers', stats => stats.postReferrers('a', { limit: 5 }), '/api/v1/posts/a/referrers?limit=5'],
    ['postsViews', stats => stats.postsViews(['a', 7]), '/api/v1/posts/views?uuids=a%2C7'],
    [
      'postsViews with days',
      stats => stats.postsViews(['a'], { days: 30 }),
      '/api/v1/posts/views?uuids=a&days=30',
    ],
    ['topPosts', stats => stats.topPosts(), '/api/v1/posts/top'],
    [
      'topPosts of a period',
      stats => stats.topPosts({ period: '7d', limit: 100, offset: 200 }),
      '/api/v1/posts/top?period=7d&limit=100&offset=200',
    ],
    [
      'topPosts by what they lost',
      stats => stats.topPosts({ period: '7d', sort: 'change', order: 'asc' }),
      '/api/v1/posts/top?period=7d&sort=change&order=asc',
    ],
    [
      'topPosts',
      stats => stats.topPosts({ sort: 'unique_views', who: 'people' }),
      '/api/v1/posts/top?sort=unique_views&who=people',
    ],
    [
      'trendingPosts',
      stats => stats.trendingPosts({ limit: 5, who: 'all' }),
      '/api/v1/posts/trending?limit=5&who=all',
    ],
    ['siteViews', stats => stats.siteViews(), '/api/v1/views'],
    ['siteDays', stats => stats.siteDays({ from: '2026-01-01' }), '/api/v1/views/daily?from=2026-01-01'],
    ['siteReferrers', stats => stats.siteReferrers(), '/api/v1/referrers'],
    ['status', stats => stats.status(), '/api/v1/status'],
    ['openapi', stats => stats.openapi(), '/api/v1/openapi.json'],
  ]
  for (const [what, ask, url] of questions) {
    test(`${what}: ${url}`, async t => {
      const { stats, asked } = await statsOf(t, json(200, { views: 5, as_of: 'now' }))
      assert.deepEqual(await ask(stats), { views: 5, as_of: 'now' })
      assert.equal(asked[0]?.url, url)
      assert.equal(asked[0]?.method, 'GET')
      assert.equal(asked[0]?.headers['x-internal-api-key'], KEY)
    })
  }

  test('below the path of baseUrl', async t => {
    const { asked, baseUrl } = await statsOf(t, json(200, {}))
    await createStats({ baseUrl: `${baseUrl}/analytics/`, key: KEY }).status()
    assert.equal(asked[0]?.url, '/analytics/api/v1/status')
  })

  test('and a post that is no id is refused before it becomes another question', async t => {
    const { stats, asked } = await statsOf(t, json(200, { views: 5 }))
    for (const post of ['..', '.', '', 'a/b', '%2e%2e', 'a?b', 'x'.repeat(37), 1.5]) {
      await rejection(stats.postViews(post), StatsBadRequest)
      await rejection(stats.postsViews(['a', post]), StatsBadRequest)
    }
    assert.equal(asked.length, 0)
  })
})

describe('an answer that was seen before', () => {
  const body = { post_uuid: 'a', views: 5, days: [{ views: 5 }], as_of: '2026-01-01T00:00:00Z' }
  const revalidating: Answer = (request, response) => {
    const headers = { ETag: 'W/"five"', 'Content-Type': 'application/json' }
    if (request.headers['if-none-match'] === 'W/"five"') {
      response.writeHead(304, { ETag: 'W/"five"', 'X-As-Of': '2026-01-01T00:00:05Z' }).end()
    } else {
      response.writeHead(200, headers).end(JSON.stringify(body))
    }
  }

  test('still holds when the API says so, as of then', async t => {
    const { stats, asked } = await statsOf(t, revalidating)
    assert.deepEqual(await stats.postDays('a'), body)
    assert.deepEqual(await stats.postDays('a'), { ...body, as_of: '2026-01-01T00:00:05Z' })
    assert.equal(asked[1]?.headers['if-none-match'], 'W/"five"')
  })

  test('is not spoilt by what its receiver does to it', async t => {
    const { stats } = await statsOf(t, revalidating)
    const first = await stats.postDays('a')
    first.days[0]!.views = 0
    assert.equal((await stats.postDays('a')).days[0]?.views, 5)
  })

  test('is not taken for the answer to another question', async t => {
    const { stats, asked } = await statsOf(t, revalidating)
    await stats.postDays('a', { days: 7 })
    await stats.postDays('a', { days: 8 })
    assert.equal(asked[1]?.headers['if-none-match'], undefined)
  })

  test('is kept only as long as there is room, those used last the longest', async t => {
    const big = { ...body, padding: 'x'.repeat(1_048_576) }
    const { stats, asked } = await statsOf(t, json(200, big, { ETag: 'W/"five"' }))
    await stats.postViews('first')
    for (let n = 1; n <= 10; n++) {
      await stats.postViews(n)
      await stats.postViews('first')
    }
    const isKept = async (post: string | number) => {
      await stats.postViews(post)
      return asked.at(-1)?.headers['if-none-match'] !== undefined
    }
    assert.deepEqual([await isKept('first'), await isKept(1)], [true, false])
  })
})

describe('when the number is not known', () => {
  const unavailable: [string, Answer][] = [
    [
      '503',
      json(503, { detail: 'the store does not answer' }, { 'Content-Type': 'application/problem+json' }),
    ],
    ['500', json(500, {})],
    ['502 from something between', (_, response) => response.writeHead(502).end('<html>Bad Gateway')],
    ['429', json(429, {})],
    ['408', json(408, {})],
    ['a page that is no JSON', (_, response) => response.end('<html>Welcome')],
    ['JSON that is no object', json(200, [0])],
    ['null', json(200, null)],
    ['nothing', (_, response) => response.writeHead(204).end()],
    ['304 that nobody asked for', (_, response) => response.writeHead(304).end()],
    [
      'a redirect, which is not followed with the key,',
      (request, response) => {
        if (request.url === '/elsewhere') json(200, { views: 5 })(request, response)
        else response.writeHead(302, { Location: '/elsewhere' }).end()
      },
    ],
    ['a reset', (_, response) => response.destroy()],
    [
      'half an answer',
      (_, response) => {
        response.writeHead(200, { 'Content-Length': '100' })
        response.write('{"views":', () => response.destroy())
      },
    ],
  ]
  for (const [what, answer] of unavailable) {
    test(`${what} is StatsUnavailable`, async t => {
      const { stats } = await statsOf(t, answer)
      await rejection(stats.postViews('a'), StatsUnavailable)
    })
  }

  test('nobody listening is StatsUnavailable, and the cause says why', async () => {
    const stats = createStats({ baseUrl: 'http://127.0.0.1:1', key: KEY })
    const { cause } = await rejection(stats.status(), StatsUnavailable)
    assert.ok(cause instanceof Error)
  })

  const slow: [string, Answer][] = [
    ['no answer', () => {}],
    ['an answer that does not end', (_, response) => response.writeHead(200).write('{"views":')],
  ]
  for (const [what, answer] of slow) {
    test(`${what} is StatsUnavailable after timeoutMs`, async t => {
      const { stats } = await statsOf(t, answer, { timeoutMs: 50 })
      const error = await rejection(stats.status(), StatsUnavailable)
      assert.match(error.message, /^Analytics at http:\/\/127\.0\.0\.1:\d+ did not answer within 50 ms$/)
    })
  }

  test('a redirect is told as one', async t => {
    const { stats } = await statsOf(t, (_, response) => response.writeHead(307, { Location: '/' }).end())
    const error = await rejection(stats.status(), StatsUnavailable)
    assert.equal(error.message, 'Analytics answered 307, a redirect, which is not followed')
  })

  test('an answer is read no further than any can be, counted after it was unpacked', async t => {
    const packed = gzipSync(Buffer.alloc(200 * 1_048_576))
    const large: Answer[] = [
      (_, response) => response.writeHead(200, { 'Content-Encoding': 'gzip' }).end(packed),
      (_, response) => {
        response.writeHead(500)
        const send = () => response.destroyed || response.write(Buffer.alloc(65_536, ' '))
        response.on('drain', send)
        send()
      },
    ]
    for (const answer of large) {
      const { stats } = await statsOf(t, answer, { timeoutMs: 60_000 })
      const error = await rejection(stats.status(), StatsUnavailable)
      assert.match(error.message, /^what answers is not Analytics: it sends over 16777216 bytes$/)
    }
  })

  test('a key that is not taken is StatsRefused', async t => {
    const { stats } = await statsOf(t, json(401, { detail: 'X-Internal-Api-Key is missing' }))
    const error = await rejection(stats.status(), StatsRefused)
    assert.equal(error.message, '401: X-Internal-Api-Key is missing')
  })

  test('a wrong question is StatsBadRequest, with the parameter and what is allowed', async t => {
    const problem = { status: 400, detail: 'days must be a whole number from 1 to 800', parameter: 'days' }
    const { stats } = await statsOf(t, json(400, problem))
    const error = await rejection(stats.siteDays({ days: 0 }), StatsBadRequest)
    assert.ok(error instanceof StatsBadRequest)
    assert.equal(error.message, '400: days must be a whole number from 1 to 800')
    assert.equal(error.parameter, 'days')
  })

  test('a route that is not there is StatsBadRequest', async t => {
    const { stats } = await statsOf(t, (_, response) => response.writeHead(404).end('Not found'))
    await rejection(stats.status(), StatsBadRequest)
  })

  test('an answer kept from before is not passed off as a new one', async t => {
    let isDown = false
    const { stats } = await statsOf(t, (request, response) =>
      isDown
        ? json(503, {})(request, response)
        : json(200, { views: 5 }, { ETag: 'W/"5"' })(request, response),
    )
    await stats.siteViews()
    isDown = true
    await rejection(stats.siteViews(), StatsUnavailable)
  })
})

describe('options', () => {
  const wrong: [string, Partial<StatsOptions>][] = [
    ['a baseUrl that is none', { baseUrl: 'analytics' }],
    ['another protocol', { baseUrl: 'ftp://analytics' }],
    ['a password in the baseUrl', { baseUrl: `http://user:${KEY}@analytics` }],
    ['no key', { key: '' }],
    ['a key with a line break', { key: `${KEY}\n` }],
    ['a key that a header cannot carry', { key: `${KEY}é` }],
  ]
  for (const [what, options] of wrong) {
    test(`with ${what} are refused, and the key is not told`, () => {
      assert.throws(
        () => createStats({ baseUrl: 'http://127.0.0.1', key: KEY, ...options }),
        (error: Error) => {
          assert.ok(error instanceof TypeError)
          assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }), new RegExp(KEY))
          return true
        },
      )
    })
  }
})
