import assert from 'node:assert/strict'
import { test } from 'node:test'
import { brokerUrls } from './broker-urls.ts'

test('one URL is taken as it is written', () => {
  for (const url of [
    'amqp://broker',
    'amqps://jos%C3%A9:p%2Css@broker.example:5671/a%2Fb?heartbeat=60&frameMax=8192',
    'amqp://guest:guest@[::1]:5672/%2F',
    'amqp://reader:p%FC@broker',
  ]) {
    assert.deepEqual(brokerUrls(url), [url])
    assert.deepEqual(brokerUrls([url]), [url])
  }
})

test('several are whole URLs, with commas between them or in an array, in their order', () => {
  const urls = ['amqp://u:p@one/blog', 'amqps://v:q%2Cr@two:5671/blog', 'amqp://three/bl%6Fg?heartbeat=5']
  assert.deepEqual(brokerUrls(urls.join(',')), urls)
  assert.deepEqual(brokerUrls(` ${urls.join(' ,\n ')} `), urls)
  assert.deepEqual(brokerUrls(urls), urls)
})

test('no virtual host is the virtual host /', () => {
  const urls = ['amqp://one', 'amqp://two/', 'amqp://three/%2F', 'amqp://four?heartbeat=5']
  assert.deepEqual(brokerUrls(urls), urls)
})

/** What is refused, and what its message says. */
const WRONG: [value: string | string[], said: RegExp][] = [
  ['', /^is empty/],
  [[], /^names no broker$/],
  ['broker:5672', /^is not a URL of the form amqp:\/\/.*comma as %2C$/],
  ['http://u:hunter2@broker', /^is not a URL of the form/],
  ['amqp://', /^is not a URL of the form/],
  ['amqp:broker', /^is not a URL of the form/],
  ['amqp://u:hunter2@broker:99999', /a port is a number up to 65535/],
  ['amqp://u:hunter2@broker:0', /^names port 0/],
  ['amqp://u:hunter2#@broker', /# as %23/],
  ['amqp://u:hunter2@broker/v#1', /^holds a bare #: write it as %23$/],
  ['amqp://u:hunter2@broker#', /^holds a bare #/],
  ['amqp://u:hunter2%@broker', /^holds a bare %: write it as %25$/],
  ['amqp://u:hunter2@broker/50%', /^holds a bare %/],
  ['amqp://u:hunter2@one,amqp://u:hunter2@two/%', /^names several brokers, of which number 2 holds a bare %/],
  ['amqp://u:hunter2@one,u:hunter2@two', /^names several brokers, of which number 2 is not a URL/],
  // The form that other programs take.
  ['amqp://u:hunter2@one:5672,two:5672', /of which number 2 is not a URL/],
  ['amqp://u:hunter2@one,', /of which number 2 is empty: write a comma only between two URLs/],
  [',amqp://u:hunter2@one', /of which number 1 is empty/],
  // A comma in a password.
  ['amqp://u:12,hunter2@one', /of which number 2 is not a URL.*comma as %2C/],
  ['amqp://u:hunter2,x@one', /of which number 1 is not a URL.*comma as %2C/],
  [['amqp://u:hunter2,x@one'], /^holds a bare comma: write it as %2C$/],
  [['amqp://one,amqp://two'], /^holds a bare comma/],
  [
    'amqp://u:hunter2@one/blog,amqp://u:hunter2@two',
    /of which number 2 has another virtual host than the first/,
  ],
  [['amqp://one', 'amqp://two/', 'amqp://three/hunter2'], /of which number 3 has another virtual host/],
]

test('what is wrong is named, and what to write instead; nothing of the URL is repeated', () => {
  for (const [value, said] of WRONG) {
    assert.throws(
      () => brokerUrls(value),
      error => {
        assert.ok(error instanceof TypeError)
        assert.match(error.message, said, JSON.stringify(value))
        assert.doesNotMatch(`${error.message}${error.stack}`, /hunter2/)
        return true
      },
    )
  }
})

test('what is no text is named too', () => {
  for (const value of [undefined, null, 5672, { url: 'amqp://broker' }]) {
    assert.throws(
      () => Reflect.apply(brokerUrls, undefined, [value]),
      /^TypeError: is neither a URL nor an array of them$/,
    )
    assert.throws(
      () => Reflect.apply(brokerUrls, undefined, [['amqp://one', value]]),
      /number 2 is not a string$/,
    )
  }
})
