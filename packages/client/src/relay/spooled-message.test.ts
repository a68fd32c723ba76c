import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeRecord, recordAt, type Span } from './record.ts'
import { type MessageLimits, messagesOf } from './spooled-message.ts'

const WIDE: MessageLimits = { maxEventsPerMessage: 100, maxMessageBytes: 1_000 }

const idOf = (n: number) => `0190163d-8694-739b-aea5-00000000000${n}`

/** The messages that are made of these events; without the ids of arrays, which are new each time. */
function made(texts: readonly string[], limits: MessageLimits) {
  const bytes = Buffer.from(
    texts.map((text, n) => encodeRecord({ id: idOf(n), json: JSON.stringify(text) })).join(''),
  )
  const bodies: Span[] = []
  for (let at = 0; at < bytes.length; at = recordAt(bytes, at)!.end) bodies.push(recordAt(bytes, at)!.body!)
  const messages = messagesOf(bytes, bodies, limits)
  // The reader uses its buffer again: messages must not share its memory.
  bytes.fill(0)
  return messages.map(({ id, json, events }) => (events > 1 ? [json.toString()] : [json.toString(), id]))
}

test('events become an array, one that is alone stays itself and keeps its id', () => {
  assert.deepEqual(made(['a', 'über'], WIDE), [['["a","über"]']])
  assert.deepEqual(made(['a'], WIDE), [['"a"', idOf(0)]])
  assert.deepEqual(made([], WIDE), [])
})

test('a message has no more events than may be', () => {
  const limits = { ...WIDE, maxEventsPerMessage: 2 }
  assert.deepEqual(made(['a', 'b', 'c', 'd', 'e'], limits), [['["a","b"]'], ['["c","d"]'], ['"e"', idOf(4)]])
})

test('a message has no more bytes than may be, but for an event that has them alone', () => {
  const limits = { ...WIDE, maxMessageBytes: Buffer.byteLength('["über","b"]') }
  assert.deepEqual(made(['über', 'b', 'c', 'd', 'e'], limits), [['["über","b"]'], ['["c","d","e"]']])
  assert.deepEqual(made(['über', 'bc', 'a much longer event'], limits), [
    ['"über"', idOf(0)],
    ['"bc"', idOf(1)],
    ['"a much longer event"', idOf(2)],
  ])
})
