import assert from 'node:assert/strict'
import { test } from 'node:test'
import { brokerUrl, credentialsOf, openConnection } from './link.ts'
import { describe } from './log.ts'

test('a URL without a heartbeat is given one, and is otherwise as it was', () => {
  assert.equal(brokerUrl('amqp://broker', 10), 'amqp://broker?heartbeat=10')
  const url = 'amqps://user:p%40ss@broker:5671/a%2Fb?frameMax=8192'
  assert.equal(brokerUrl(url, 10), `${url}&heartbeat=10`)
})

test('a heartbeat in the URL wins', () => {
  assert.equal(brokerUrl('amqp://broker/v?heartbeat=60', 10), 'amqp://broker/v?heartbeat=60')
})

test('user and password are decoded as UTF-8', () => {
  const said = (url: string) => credentialsOf(url)?.response().toString()
  assert.equal(said('amqp://jos%C3%A9%40blog:p%C3%BC%2F%3A%25@broker/v'), '\0josé@blog\0pü/:%')
  assert.equal(said('amqp://reader:@broker'), '\0reader\0')
  assert.equal(said('amqp://broker'), undefined)
  assert.equal(said('amqp://reader:p%FC@broker'), undefined)
})

test('a broker that cannot be reached is named by host, port and virtual host, and by nothing secret', async () => {
  for (const [url, said] of [
    [
      'amqp://user:hunter2@127.0.0.1:1/blog',
      /^no connection to the broker at amqp:\/\/127\.0\.0\.1:1\/blog: connect ECONNREFUSED/,
    ],
    // `localhost` usually has two addresses; the error for both has no message.
    [
      'amqp://user:hunter2@localhost:1',
      /^no connection to the broker at amqp:\/\/localhost:1: connect ECONNREFUSED/,
    ],
  ] as const) {
    const signal = new AbortController().signal
    const opening = openConnection({ url: brokerUrl(url, 10), timeoutMs: 10_000, signal }, async () => {})
    await assert.rejects(opening, error => {
      assert.match(describe(error), said)
      assert.doesNotMatch(describe(error), /hunter2/)
      return true
    })
  }
})
