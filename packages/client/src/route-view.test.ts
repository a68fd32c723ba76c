/** The middleware of both frameworks, each in a real application on a port of its own. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingHttpHeaders, type IncomingMessage, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import express, { type Request, type Response } from 'express'
import Fastify, { type FastifyRequest } from 'fastify'
import { trackView as trackViewInExpress } from './express.ts'
import { type FakeTracker, fakeTracker } from './fake.ts'
import { trackView as trackViewInFastify } from './fastify.ts'
import type { LogEntry } from './log.ts'
import type { ShownPost, TrackViewOptions } from './route-view.ts'

/** What requests have in both frameworks. */
interface AnyRequest {
  headers: IncomingHttpHeaders
}

type Options = Partial<TrackViewOptions<AnyRequest, object, ShownPost>>

/** How the route answers: with that status; by throwing; by writing and never ending. */
type Answer = number | 'throws' | 'hangs'

interface SiteOptions {
  views?: Options
  answer?: Answer
  trustedProxy?: string
}

interface Site {
  tracker: FakeTracker
  said: LogEntry[]
  /** What was tracked when the route's own code ran. */
  trackedBefore: number[]
  server: Server
  /** Resolves once the server is done with the response as well: nothing is tracked afterwards. */
  get(path: string, options?: { method?: string; headers?: Record<string, string> }): Promise<number>
}

type MakeSite = (t: TestContext, options?: SiteOptions) => Promise<Site>

const expressSite: MakeSite = async (t, { views, answer = 200, trustedProxy } = {}) => {
  const { tracker, said, trackedBefore, options } = parts(views)
  const app = express()
  // Its default writes every error on stderr.
  app.set('env', 'test')
  if (trustedProxy !== undefined) app.set('trust proxy', trustedProxy)
  const blog = express.Router()
  blog.all('/posts/:post', trackViewInExpress(tracker, options), (_request, response) => {
    trackedBefore.push(tracker.tracked().length)
    if (answer === 'throws') throw new Error('no')
    if (answer === 'hangs') response.write('a part')
    else response.status(answer).send('a post')
  })
  app.use('/blog', blog)
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return { tracker, said, trackedBefore, server, get: getter(server) }
}

const fastifySite: MakeSite = async (t, { views, answer = 200, trustedProxy } = {}) => {
  const { tracker, said, trackedBefore, options } = parts(views)
  const app = Fastify({ trustProxy: trustedProxy ?? false })
  await app.register(
    async blog => {
      blog.all('/posts/:post', { onRequest: trackViewInFastify(tracker, options) }, (_request, reply) => {
        trackedBefore.push(tracker.tracked().length)
        if (answer === 'throws') throw new Error('no')
        if (answer !== 'hangs') return reply.code(answer).send('a post')
        reply.hijack()
        reply.raw.write('a part')
        return reply
      })
    },
    { prefix: '/blog' },
  )
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.after(() => app.close())
  return { tracker, said, trackedBefore, server: app.server, get: getter(app.server) }
}

function parts(views: Options = {}) {
  const said: LogEntry[] = []
  const options = { post: 'post', log: (entry: LogEntry) => said.push(entry), ...views }
  return { tracker: fakeTracker(), said, trackedBefore: [] as number[], options }
}

/** Resolves once the server is done with its next response, whether it was finished or not. */
function responseClosed(server: Server): Promise<void> {
  return new Promise(resolve => {
    server.once('request', (_request, response) => response.once('close', resolve))
  })
}

function getter(server: Server): Site['get'] {
  return async (path, { method = 'GET', headers = {} } = {}) => {
    const { port } = server.address() as AddressInfo
    const closed = responseClosed(server)
    const asked = request({ port, path, method, headers: { 'user-agent': 'Mozilla/5.0', ...headers } })
    asked.end()
    const [answer] = (await once(asked, 'response')) as [IncomingMessage]
    answer.resume()
    await closed
    return answer.statusCode!
  }
}

for (const [framework, site] of [
  ['Express', expressSite],
  ['Fastify', fastifySite],
] as const) {
  describe(framework, () => {
    test('a post that was shown is a view, with all that its request tells, once the response is finished', async t => {
      const { get, tracker, trackedBefore } = await site(t)
      const headers = { referer: 'https://news.example/' }
      assert.equal(await get('/blog/posts/hello?token=secret&utm_source=news', { headers }), 200)
      const [view, ...others] = tracker.tracked()
      const { event_id, timestamp, ...told } = view!
      assert.deepEqual(others, [])
      assert.deepEqual(trackedBefore, [0])
      assert.deepEqual(told, {
        post_uuid: 'hello',
        user_id: null,
        logged_in: false,
        ip: '127.0.0.1',
        user_agent: 'Mozilla/5.0',
        referer: 'https://news.example/',
        url: '/blog/posts/hello?utm_source=news',
      })
    })

    for (const status of [200, 204, 206, 304]) {
      test(`an answer of ${status} is a view`, async t => {
        const { get, tracker } = await site(t, { answer: status })
        assert.equal(await get('/blog/posts/hello'), status)
        tracker.assertTrackedTimes('hello', 1)
      })
    }
    for (const status of [301, 302, 401, 403, 404, 410, 500, 503]) {
      test(`an answer of ${status} is none`, async t => {
        const { get, tracker, trackedBefore } = await site(t, { answer: status })
        assert.equal(await get('/blog/posts/hello'), status)
        assert.deepEqual(trackedBefore, [0])
        tracker.assertNothingTracked()
      })
    }

    test('a route that throws is none', async t => {
      const { get, tracker, trackedBefore } = await site(t, { answer: 'throws' })
      assert.equal(await get('/blog/posts/hello'), 500)
      assert.deepEqual(trackedBefore, [0])
      tracker.assertNothingTracked()
    })

    test('an answer that the reader did not wait for is none', async t => {
      const { server, tracker } = await site(t, { answer: 'hangs' })
      const closed = responseClosed(server)
      const { port } = server.address() as AddressInfo
      const asked = request({ port, path: '/blog/posts/hello' })
      asked.end()
      const [answer] = (await once(asked, 'response')) as [IncomingMessage]
      answer.on('error', () => {})
      answer.destroy()
      await closed
      tracker.assertNothingTracked()
    })

    for (const method of ['HEAD', 'POST', 'PUT', 'OPTIONS']) {
      test(`${method} is none`, async t => {
        const { get, tracker, trackedBefore } = await site(t)
        assert.equal(await get('/blog/posts/hello', { method }), 200)
        assert.deepEqual(trackedBefore, [0])
        tracker.assertNothingTracked()
      })
    }

    const inAdvance = {
      'sec-purpose': 'prefetch;prerender',
      purpose: 'prefetch',
      'x-moz': 'prefetch',
      'x-purpose': 'preview',
    }
    for (const [name, value] of Object.entries(inAdvance)) {
      test(`what is fetched with ${name}: ${value} is none`, async t => {
        const { get, tracker } = await site(t)
        assert.equal(await get('/blog/posts/hello', { headers: { [name]: value } }), 200)
        tracker.assertNothingTracked()
      })
    }

    const addresses: [string, string | undefined, string | undefined, string | null][] = [
      ['is that of the connection', undefined, undefined, '127.0.0.1'],
      ['is not what anybody claims', undefined, '203.0.113.7', '127.0.0.1'],
      ['is what a trusted proxy says', '127.0.0.1', '203.0.113.7', '203.0.113.7'],
      ['is not what stands before it', '127.0.0.1', '192.0.2.66, 203.0.113.7', '203.0.113.7'],
      ['is in its canonical spelling', '127.0.0.1', '2001:DB8:0::7', '2001:db8::7'],
      ['may stand with a port', '127.0.0.1', '203.0.113.7:4711', '203.0.113.7'],
      ['is unknown where the proxy does not know it', '127.0.0.1', 'unknown', null],
    ]
    for (const [what, trustedProxy, forwarded, expected] of addresses) {
      test(`the reader’s address ${what}`, async t => {
        const { get, tracker } = await site(t, trustedProxy === undefined ? {} : { trustedProxy })
        const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }
        await get('/blog/posts/hello', { headers: { ...headers, connection: 'close' } })
        assert.deepEqual(
          tracker.tracked().map(({ ip }) => ip),
          [expected],
        )
      })
    }

    const readers: [string, Options, string | null, boolean][] = [
      ['is anonymous where nobody is told', {}, null, false],
      ['is anonymous by null', { user_id: () => null }, null, false],
      ['is anonymous by undefined', { user_id: () => undefined }, null, false],
      ['has a number', { user_id: () => 7 }, '7', true],
      ['has a BigInt', { user_id: () => 2n ** 63n }, '9223372036854775808', true],
      ['is told by the request', { user_id: ({ headers }) => String(headers['x-user']) }, '42', true],
      ['is logged in with a UUID', { user_id: () => '0f8fad5b-d9cb-469f-a165-70867728950e' }, null, true],
      ['is logged in without an id', { logged_in: ({ headers }) => 'x-user' in headers }, null, true],
      [
        'is logged in by whatever is true',
        { logged_in: () => ({ id: 7 }) as unknown as boolean },
        null,
        true,
      ],
      ['is not logged in by undefined', { logged_in: () => undefined as unknown as boolean }, null, false],
      ['is not logged in', { logged_in: () => false }, null, false],
    ]
    for (const [what, views, userId, isLoggedIn] of readers) {
      test(`a reader ${what}`, async t => {
        const { get, tracker, said } = await site(t, { views })
        await get('/blog/posts/hello', { headers: { 'x-user': '42' } })
        tracker.assertTrackedTimes(
          ({ user_id, logged_in }) => user_id === userId && logged_in === isLoggedIn,
          1,
        )
        assert.deepEqual(said, [])
      })
    }

    const objectId = { id: Uint8Array.of(7), toString: () => '65f0c1d2e3a4b5c6d7e8f901' }
    const posts: [string, ShownPost, string][] = [
      ['a number', 7, '7'],
      ['a text', 'hello', 'hello'],
      ['a BigInt', 7n, '7'],
      ['a post with an id', { id: 7 }, '7'],
      [
        'a post with a UUID, which wins',
        { id: 7, uuid: '0F8FAD5B-d9cb-469f-a165-70867728950e' },
        '0f8fad5b-d9cb-469f-a165-70867728950e',
      ],
      ['an ObjectId', objectId as object as ShownPost, '65f0c1d2e3a4b5c6d7e8f901'],
      ['a post with an ObjectId', { id: objectId } as object as ShownPost, '65f0c1d2e3a4b5c6d7e8f901'],
    ]
    for (const [what, post, expected] of posts) {
      test(`the post may be given as ${what}`, async t => {
        const { get, tracker } = await site(t, { views: { post: () => post } })
        await get('/blog/posts/hello')
        tracker.assertTrackedTimes(expected, 1)
      })
    }
    for (const none of [null, undefined]) {
      test(`no post, ${none}, is no view`, async t => {
        const { get, tracker, said } = await site(t, { views: { post: () => none } })
        await get('/blog/posts/hello')
        tracker.assertNothingTracked()
        assert.deepEqual(said, [])
      })
    }

    test('`except` leaves views out, by request and post', async t => {
      const asked: unknown[] = []
      const except: Options['except'] = ({ headers }, post) => {
        asked.push(post)
        return headers['x-user'] === '42'
      }
      const { get, tracker } = await site(t, { views: { except } })
      await get('/blog/posts/hello', { headers: { 'x-user': '42' } })
      await get('/blog/posts/other', { headers: { 'x-user': '7' } })
      tracker.assertNotTracked('hello')
      tracker.assertTrackedTimes('other', 1)
      assert.deepEqual(asked, ['hello', 'other'])
    })

    test('`except` is given the post itself, where that is known', async t => {
      const post = { id: 7, author: 42 }
      const except: Options['except'] = (_request, shown) => (shown as object as typeof post).author === 42
      const { get, tracker } = await site(t, { views: { post: () => post, except } })
      await get('/blog/posts/hello')
      tracker.assertNothingTracked()
    })

    const broken: [string, () => never][] = [
      [
        'throws',
        () => {
          throw new Error('no such luck')
        },
      ],
      ['gives a promise', (async () => true) as () => never],
      ['gives a promise that fails', (() => Promise.reject(new Error('no'))) as () => never],
    ]
    for (const [what, callback] of broken) {
      for (const option of ['post', 'user_id', 'logged_in'] as const) {
        test(`${option} that ${what} fails neither page nor process, and is told`, async t => {
          const { get, tracker, said } = await site(t, { views: { [option]: callback } })
          assert.equal(await get('/blog/posts/hello'), 200)
          tracker.assertNothingTracked()
          assert.deepEqual(
            said.map(({ event }) => event),
            ['view.invalid'],
          )
        })
      }
      test(`except that ${what} leaves nothing out, and is told`, async t => {
        const { get, tracker, said } = await site(t, { views: { except: callback } })
        assert.equal(await get('/blog/posts/hello'), 200)
        tracker.assertTrackedTimes('hello', 1)
        assert.deepEqual(
          said.map(({ event }) => event),
          ['view.invalid'],
        )
      })
    }

    test('a post without an id is told, and no view', async t => {
      const { get, tracker, said } = await site(t, { views: { post: () => ({}) as ShownPost } })
      assert.equal(await get('/blog/posts/hello'), 200)
      tracker.assertNothingTracked()
      assert.match(said[0]!.detail, /neither uuid nor id/)
    })

    test('a parameter that the route has not is told, and no view', async t => {
      const { get, tracker, said } = await site(t, { views: { post: 'slug' } })
      assert.equal(await get('/blog/posts/hello'), 200)
      tracker.assertNothingTracked()
      assert.match(said[0]!.detail, /the route has no parameter slug/)
    })
  })
}

test('in Express, which answers 304 by itself, a reader who comes back is counted again', async t => {
  const { tracker, server, get } = await expressSite(t)
  const { port } = server.address() as AddressInfo
  const first = await fetch(`http://127.0.0.1:${port}/blog/posts/hello`)
  const headers = { 'if-none-match': first.headers.get('etag')! }
  assert.equal(await get('/blog/posts/hello', { headers }), 304)
  tracker.assertTrackedTimes('hello', 2)
})

test('in Express, the parameter is that of the route, also where a later handler answers', async t => {
  const tracker = fakeTracker()
  const app = express()
  app.get('/posts/:post', trackViewInExpress(tracker, { post: 'post' }))
  app.use((_request, response) => {
    response.send('a post')
  })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  assert.equal(await getter(server)('/posts/hello'), 200)
  tracker.assertTrackedTimes('hello', 1)
})

test('wrong options are told where the route is made', () => {
  const tracker = fakeTracker()
  for (const trackView of [trackViewInExpress, trackViewInFastify] as unknown as ((
    ...given: unknown[]
  ) => void)[]) {
    assert.throws(() => trackView({ post: 'post' }), /needs a tracker/)
    for (const options of [undefined, {}, { post: '' }, { post: 7 }])
      assert.throws(() => trackView(tracker, options), /post must be the name of a parameter/)
    for (const name of ['user_id', 'logged_in', 'except', 'log'])
      assert.throws(
        () => trackView(tracker, { post: 'post', [name]: 7 }),
        new RegExp(`${name} must be a function`),
      )
  }
})

test('the middleware fits the types of the frameworks, and its options take theirs', () => {
  const tracker = fakeTracker()
  const app = express()
  app.get(
    '/posts/:post',
    trackViewInExpress(tracker, { post: 'post', user_id: ({ headers }) => headers.from }),
  )
  app.get(
    '/posts/:post',
    trackViewInExpress(tracker, {
      post: (_request: Request, response: Response) =>
        response.locals['post'] as { id: number; author: string },
      user_id: request => request.get('x-user'),
      except: (request, post) => request.get('x-user') === post.author,
    }),
  )
  const other = Fastify()
  const user_id = ({ headers }: { headers: IncomingHttpHeaders }) => headers.from
  other.get('/a/:post', { onRequest: trackViewInFastify(tracker, { post: 'post', user_id }) }, () => 'a post')
  other.get<{ Params: { post: string } }>(
    '/b/:post',
    {
      onRequest: trackViewInFastify(tracker, {
        post: (request: FastifyRequest) => (request.params as { post: string }).post,
        user_id: request => request.hostname,
        except: (request, post) => request.hostname === post.trim(),
      }),
    },
    () => 'a post',
  )
  tracker.assertNothingTracked()
})
