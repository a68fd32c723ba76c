/** Callers of the relay's HTTP that are many, and hold on to what they send: bounded in sum, and others are unharmed. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startRelay } from '../support/relay.ts'
import { connectHttp, post, type RawHttp, untilItHasLooked } from '../support/relay-requests.ts'
import { lineOf } from '../support/relay-sender.ts'
import { until } from '../support/until.ts'

const NOWHERE = 'amqp://127.0.0.1:1'
const MAX_CONNECTIONS = 100
/** Of bodies that have not come whole. */
const MOST_IN_HAND_BYTES = 4 * 1_048_576
const EVENTS = 1_000
const BODY = `${lineOf(1)}\n`.repeat(EVENTS).slice(0, -1)
const CALLERS = Math.ceil((3 * MOST_IN_HAND_BYTES) / BODY.length)

test('bodies that are in hand are bounded together: those beyond are told to come again, the others taken', async t => {
  const relay = await startRelay(t, { amqpUrl: NOWHERE })
  const callers = await Promise.all(Array.from({ length: CALLERS }, () => connectHttp(t, relay)))
  for (const caller of callers) caller.begin('application/x-ndjson', BODY.length, BODY.slice(0, -1))
  const refused = () => callers.filter(({ text }) => text() !== '')
  const room = Math.floor(MOST_IN_HAND_BYTES / BODY.length)
  await until('those beyond are refused', () => refused().length >= CALLERS - room)
  for (const { text } of refused()) assert.match(text(), /^HTTP\/1\.1 503 .*^retry-after: \d+\r$/ims)

  const held = callers.filter(({ text }) => text() === '')
  assert.ok(held.length > 0)
  const [gone, ...rest] = held
  gone!.destroy()
  for (const caller of rest) caller.write(BODY.slice(-1))
  const isTaken = ({ text }: RawHttp) => text().split('ok\n').length - 1 === EVENTS
  await until('the others are answered', () => rest.every(isTaken))
  for (const { text } of rest) assert.match(text(), /^HTTP\/1\.1 200 /)
  // And what they have held is free again.
  const headers = { 'content-type': 'application/x-ndjson' }
  for (let n = 0; n < CALLERS; n++) {
    const response = await fetch(`${relay.url}/views`, { method: 'POST', body: BODY, headers })
    assert.equal(response.status, 200)
    await response.text()
  }
})

test('connections beyond a hundred are ended, and those there are stay', async t => {
  const relay = await startRelay(t, { amqpUrl: NOWHERE })
  const callers = await Promise.all(Array.from({ length: 2 * MAX_CONNECTIONS }, () => connectHttp(t, relay)))
  const open = () => callers.filter(({ isClosed }) => !isClosed)
  await until('those beyond are ended', () => open().length <= MAX_CONNECTIONS)
  assert.equal(open().length, MAX_CONNECTIONS)
  const [one] = open()
  one!.write('GET /livez HTTP/1.1\r\nHost: relay\r\n\r\n')
  await until('one of the others is answered', () => /^HTTP\/1\.1 200 /.test(one!.text()))
})

test('a body that is announced as endless keeps nobody else from being taken', async t => {
  const relay = await startRelay(t, { amqpUrl: NOWHERE })
  const greedy = await connectHttp(t, relay)
  greedy.begin('application/x-ndjson', 1e12, `${lineOf(1)}\n`)
  await untilItHasLooked(relay)
  assert.equal((await post(relay, lineOf(2))).status, 200)
  await until('it is told', () => /^HTTP\/1\.1 413 /.test(greedy.text()))
  await until('it is not waited for', () => greedy.isClosed)
})

describe('a caller that is still sending what is refused is told so, and may send it to its end', () => {
  const MUCH = 'x'.repeat(1_048_576)
  const json = 'Content-Type: application/json'
  const refused: [string, number, string[], string][] = [
    ['its length is too large', 413, [json, `Content-Length: ${MUCH.length}`], MUCH],
    [
      'no length is told, and it is too large',
      413,
      [json, 'Transfer-Encoding: chunked'],
      `${MUCH.length.toString(16)}\r\n${MUCH}\r\n0\r\n\r\n`,
    ],
    ['its type is not taken', 415, ['Content-Type: text/plain', 'Content-Length: 2000'], 'x'.repeat(2_000)],
    ['nothing is there', 404, ['Content-Length: 2000'], 'x'.repeat(2_000)],
  ]
  for (const [why, status, headers, body] of refused) {
    for (const connection of ['close', 'keep-alive']) {
      test(`${why}; Connection: ${connection}`, async t => {
        const relay = await startRelay(t, { amqpUrl: NOWHERE })
        const caller = await connectHttp(t, relay)
        const path = status === 404 ? '/elsewhere' : '/views'
        const head = [`POST ${path} HTTP/1.1`, 'Host: relay', `Connection: ${connection}`, ...headers]
        const early = Math.floor(body.length * 0.75)
        caller.write(`${head.join('\r\n')}\r\n\r\n${body.slice(0, early)}`)
        await until('it is told', () => caller.text().endsWith('\n'))
        assert.match(caller.text(), new RegExp(`^HTTP/1\\.1 ${status} `))
        assert.ok(!caller.isClosed)
        caller.write(body.slice(early))
        if (connection === 'close') {
          await until('it is closed', () => caller.isClosed)
        } else {
          caller.write('GET /livez HTTP/1.1\r\nHost: relay\r\n\r\n')
          await until('the next is answered', () => caller.text().endsWith('\r\n\r\nok\n'))
        }
        assert.equal(caller.error, undefined)
      })
    }
  }
})
