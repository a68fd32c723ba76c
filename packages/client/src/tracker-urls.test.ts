import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { relayPath, trackerUrls } from './tracker-urls.ts'

const BROKER = 'amqp://user:s3cr3t@one/blog'
const RELAY = 'unix:/run/postviews.sock'

test('a relay by itself, or with the brokers behind it that are its fallback', () => {
  assert.deepEqual(trackerUrls(RELAY), [RELAY])
  assert.deepEqual(trackerUrls(` ${RELAY} `), [RELAY])
  assert.deepEqual(trackerUrls(`${RELAY}, ${BROKER},amqps://two/blog`), [RELAY, BROKER, 'amqps://two/blog'])
  assert.deepEqual(trackerUrls([RELAY, BROKER]), [RELAY, BROKER])
  assert.deepEqual(trackerUrls(BROKER), [BROKER])
})

test("the path is taken as it is, and a broker's URL has none", () => {
  const paths = [
    [RELAY, '/run/postviews.sock'],
    ['unix:data/relay.sock', 'data/relay.sock'],
    ['UNIX:/run/a%2Cb#c?d.sock', '/run/a%2Cb#c?d.sock'],
    ['unix:///run/postviews.sock', '///run/postviews.sock'],
    [BROKER, undefined],
  ] as const
  for (const [url, path] of paths) assert.equal(relayPath(trackerUrls(url)[0]!), path)
  // A comma is a separator only in a text, not in an array.
  assert.equal(relayPath(trackerUrls(['unix:/run/a,b.sock'])[0]!), '/run/a,b.sock')
})

test('what is wrong is said without a password', () => {
  const wrong: [string | readonly string[], RegExp][] = [
    ['unix:', /^has no path of a relay's socket: .* unix:\/run\/postviews\.sock$/],
    ['unix:/run/\0', /^has a NUL/],
    [`unix:/${'é'.repeat(54)}`, /^has a path of over 107 bytes/],
    ['/run/postviews.sock', /^is the path of a relay's socket: write it as unix:\/run\/postviews\.sock$/],
    [`${BROKER},${RELAY}`, /^has a unix: that is not the first/],
    [[RELAY, RELAY], /^has a unix: that is not the first/],
    [`${RELAY},`, /^names a relay and a fallback that is empty/],
    [`${RELAY},http://user:s3cr3t@one`, /^names a relay and a fallback that is not a URL of the form amqp:/],
    [
      `${RELAY},${BROKER},amqp://user:s3cr3t@two/wiki`,
      /^names a relay and a fallback that names several brokers, of which number 2 has another virtual host/,
    ],
    [undefined as unknown as string, /^is neither a URL nor an array/],
  ]
  for (const [urls, said] of wrong) {
    assert.throws(
      () => trackerUrls(urls),
      (error: Error) => {
        assert.ok(error instanceof TypeError)
        assert.match(error.message, said)
        assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }), /s3cr3t/)
        return true
      },
    )
  }
  assert.equal(trackerUrls(`unix:/${'a'.repeat(99)}`).length, 1)
})
