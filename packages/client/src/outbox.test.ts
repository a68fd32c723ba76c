import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Outbox, type OutboxLimits } from './outbox.ts'

const ID = '0190163d-8694-739b-aea5-966c26f8ad90'
const WIDE: OutboxLimits = {
  maxBufferedEvents: 1_000,
  maxBufferedBytes: 100_000,
  maxEventsPerMessage: 3,
  maxMessageBytes: 1_000,
}

function outboxOf(events: number, limits: Partial<OutboxLimits> = {}): Outbox {
  const outbox = new Outbox({ ...WIDE, ...limits })
  for (let n = 1; n <= events; n++) assert.equal(outbox.add(String(n), 1, ID), true)
  return outbox
}

function takeAll(outbox: Outbox): string[] {
  outbox.seal()
  const taken: string[] = []
  for (let message = outbox.take(); message !== undefined; message = outbox.take()) {
    taken.push(String(message.json))
  }
  return taken
}

test('gives events in the order they came, grouped', () => {
  assert.deepEqual(takeAll(outboxOf(7)), ['[1,2,3]', '[4,5,6]', '7'])
})

test('an open group is no message until it is full or sealed', () => {
  const outbox = outboxOf(2)
  assert.deepEqual([outbox.hasOpenGroup, outbox.hasMessages, outbox.take()], [true, false, undefined])
  outbox.add('3', 1, ID)
  assert.deepEqual([outbox.hasOpenGroup, outbox.hasMessages], [false, true])
})

test('a message has the id of its event when that is alone, else one of its own', () => {
  const outbox = outboxOf(4)
  outbox.seal()
  assert.notEqual(outbox.take()?.id, ID)
  assert.equal(outbox.take()?.id, ID)
  outbox.add('5', 1, undefined)
  outbox.seal()
  assert.match(outbox.take()!.id, /^[0-9a-f-]{36}$/)
})

test('a message that is put back waits behind the others, so that it cannot block them', () => {
  const outbox = outboxOf(9)
  const refused = outbox.take()!
  refused.isReturned = true
  outbox.putBack(refused)
  assert.equal(refused.isReturned, false)
  assert.deepEqual(takeAll(outbox), ['[4,5,6]', '[7,8,9]', '[1,2,3]'])
})

test('messages of a lost link go before the others, in their order, however often', () => {
  const outbox = outboxOf(9)
  for (let loss = 0; loss < 5; loss++) outbox.putBackLost([outbox.take()!, outbox.take()!])
  outbox.putBackLost([outbox.take()!])
  assert.deepEqual(takeAll(outbox), ['[1,2,3]', '[4,5,6]', '[7,8,9]'])
  const all = outboxOf(6)
  all.putBackLost([all.take()!, all.take()!])
  assert.deepEqual(takeAll(all), ['[1,2,3]', '[4,5,6]'])
})

test('a message that is lost alone a second time goes behind the others, so that it cannot block them', () => {
  const outbox = outboxOf(9)
  for (let loss = 0; loss < 2; loss++) outbox.putBackLost([outbox.take()!])
  assert.deepEqual(takeAll(outbox), ['[4,5,6]', '[7,8,9]', '[1,2,3]'])
})

test('takes a message that is made already, and tells when it is settled where it came from', () => {
  const settled: [number, number][] = []
  const outbox = outboxOf(0, { onSettled: ({ mark, events }) => settled.push([mark, events]) })
  const json = Buffer.from('[1,2]')
  for (const mark of [7, 8]) outbox.addMessage({ id: ID, json, events: 2, bytes: 3, mark })
  assert.deepEqual([outbox.events, outbox.bytes], [4, 6])
  const messages = [outbox.take()!, outbox.take()!]
  assert.equal(messages[0]!.json, json)
  for (const message of messages.toReversed()) outbox.settle(message)
  assert.deepEqual(settled, [
    [8, 2],
    [7, 2],
  ])
  assert.deepEqual([outbox.events, outbox.bytes], [0, 0])
})

test('what is taken counts towards the limits until it is settled', () => {
  const outbox = outboxOf(6, { maxBufferedEvents: 6 })
  const taken = outbox.take()!
  assert.deepEqual([outbox.add('7', 1, ID), outbox.events, outbox.bytes], [false, 6, 6])
  outbox.settle(taken)
  assert.deepEqual([outbox.add('7', 1, ID), outbox.events, outbox.bytes], [true, 4, 4])
})

test('a message with its brackets and commas never exceeds maxMessageBytes', () => {
  const outbox = new Outbox({ ...WIDE, maxEventsPerMessage: 100, maxMessageBytes: 20 })
  for (let n = 0; n < 50; n++) outbox.add('"four"', 6, ID)
  for (const json of takeAll(outbox)) assert.equal(json.length, '["four","four"]'.length)
})

test('emptied, it gives the JSON of each event', () => {
  const outbox = outboxOf(4)
  outbox.add('{"a":"],["}', 11, ID)
  assert.deepEqual(outbox.empty(), ['1', '2', '3', '4', '{"a":"],["}'])
  assert.deepEqual([outbox.events, outbox.bytes, outbox.take()], [0, 0, undefined])
})
