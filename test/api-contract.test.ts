/** `docs/asyncapi.yaml` says what the code does: the same names, limits, reasons and rules. */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import {
  CONSUMED_QUEUES,
  DEAD_QUEUE,
  decodeMessage,
  EXCHANGE,
  INVALID_REASONS,
  MAX_EVENTS_PER_MESSAGE,
  MAX_MESSAGE_BYTES,
  MAX_REFERER_CHARACTERS,
  MAX_USER_AGENT_CHARACTERS,
  QUEUE_OPTIONS,
  ROUTING_KEY,
  VIEWS_QUEUE,
  type ViewEvent,
} from '@postviews/client/src/index.ts'
import Schema from 'typebox/schema'
import { parse } from 'yaml'
import type { DeadReason } from '../packages/analytics/src/dead-reason.ts'

type Node = { [name: string]: Node } & { [index: number]: Node }

const document: Node = parse(await readFile(new URL('../docs/asyncapi.yaml', import.meta.url), 'utf8'))
const { channels, components } = document as Record<'channels' | 'components', Node>
const { messages, schemas } = components as Record<'messages' | 'schemas', Node>

/** A schema with all that it refers to put in. */
function whole(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(whole)
  if (typeof node !== 'object' || node === null) return node
  const { $ref, ...rest } = node as { $ref?: string }
  const own = Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, whole(value)]))
  if ($ref === undefined) return own
  const target = $ref
    .split('/')
    .slice(1)
    .reduce<Node>((at, name) => at[name]!, document)
  return { ...(whole(target) as object), ...own }
}

const viewsSchema = whole(schemas['views']) as Schema.XSchema

function decode(payload: unknown) {
  const receivedAt = Date.parse('2026-11-21T12:35:00Z') / 1_000
  return decodeMessage(Buffer.from(JSON.stringify(payload)), {}, { receivedAt, maxAgeSeconds: 30 * 86_400 })
}

test('names the exchange and every queue, and declares them as the code does', () => {
  const { exchange } = channels['postEvents']!['bindings']!['amqp']!
  assert.deepEqual(exchange, { name: EXCHANGE, type: 'topic', durable: true, autoDelete: false })
  assert.equal(channels['postEvents']!['address'], ROUTING_KEY)

  const queues = Object.values(channels).filter(
    channel => String(channel['bindings']!['amqp']!['is']) === 'queue',
  )
  assert.deepEqual(
    queues.map(channel => channel['address']),
    [...CONSUMED_QUEUES, DEAD_QUEUE],
  )
  for (const { address, bindings, 'x-arguments': queueArguments } of queues as unknown as Record<
    string,
    unknown
  >[]) {
    const { durable, arguments: declared } = QUEUE_OPTIONS[String(address)]!
    const { queue } = (bindings as Node)['amqp']!
    assert.deepEqual(queue, { name: address, durable, exclusive: false, autoDelete: false })
    assert.deepEqual(queueArguments, declared, String(address))
  }
})

test('names every field of a view and every reason, with the limits of the code', () => {
  const fields: Record<keyof ViewEvent, true> = {
    post_uuid: true,
    post_id: true,
    event_id: true,
    user_id: true,
    logged_in: true,
    ip: true,
    user_agent: true,
    referer: true,
    referrer: true,
    url: true,
    timestamp: true,
    viewed_at: true,
  }
  const { properties } = schemas['view'] as Record<'properties', Node>
  assert.deepEqual(Object.keys(properties), Object.keys(fields))
  assert.equal(properties['user_agent']!['x-cut-at'], MAX_USER_AGENT_CHARACTERS)
  for (const name of ['referer', 'referrer'])
    assert.equal(properties[name]!['x-cut-at'], MAX_REFERER_CHARACTERS)
  assert.equal(messages['postViewed']!['x-max-bytes'], MAX_MESSAGE_BYTES)
  assert.equal(schemas['views']!['oneOf']![1]!['maxItems'], MAX_EVENTS_PER_MESSAGE)
  assert.equal(messages['postViewed']!['bindings']!['amqp']!['messageType'], ROUTING_KEY)

  const headers = schemas['deadLetterHeaders']!['properties'] as Node
  const reasons: Record<DeadReason, string> = {
    ...INVALID_REASONS,
    unstorable: 'the event is valid, but the store refuses to store it',
  }
  const described = headers['reason']!['oneOf'] as unknown as { const: string; description: string }[]
  assert.deepEqual(Object.fromEntries(described.map(reason => [reason.const, reason.description])), reasons)
  assert.deepEqual(headers['source-queue']!['enum'], [...CONSUMED_QUEUES])
})

test('shows examples that are counted, and ones that are dead letters for the reason they give', () => {
  const examples = (message: Node) =>
    message['examples'] as unknown as { name: string; payload: unknown; headers?: object }[]
  for (const { name, payload } of examples(messages['postViewed']!)) {
    const { views, invalid } = decode(payload)
    assert.deepEqual(invalid, [], name)
    assert.equal(views.length, [payload].flat().length, name)
    assert.ok(Schema.Check(viewsSchema, payload), name)
  }
  for (const { name, payload, headers } of examples(messages['deadLetter']!)) {
    const [found] = decode(payload).invalid
    assert.ok(Schema.Check(whole(schemas['deadLetterHeaders']) as Schema.XSchema, headers), name)
    assert.equal(found?.reason, (headers as { reason: string }).reason, name)
  }
})

test('allows what the code counts, and refuses what becomes a dead letter', () => {
  const uuid = '0F8FAD5B-d9cb-469f-a165-70867728950e'
  const values: Record<keyof ViewEvent, unknown[]> = {
    post_uuid: [
      uuid,
      'a',
      '_-9',
      'x'.repeat(36),
      'x'.repeat(37),
      '',
      'a b',
      'é',
      1,
      0,
      -1,
      1.5,
      2 ** 53 - 1,
      2 ** 53,
      true,
      [],
      {},
    ],
    post_id: ['a', 7, 'a b', 0],
    event_id: [uuid, null, 'no uuid', '', `${uuid}0`, 7, true],
    user_id: [
      1,
      '1',
      null,
      2 ** 53 - 1,
      '9007199254740993',
      0,
      -1,
      1.5,
      2 ** 53,
      '0',
      '-1',
      '1.5',
      '',
      true,
      [],
    ],
    ip: [
      '192.0.2.1',
      '2001:db8::1',
      '::ffff:192.0.2.1',
      null,
      '192.0.2',
      '192.0.2.256',
      'localhost',
      '',
      1,
      false,
    ],
    user_agent: ['', 'x', 'x'.repeat(3_000), null, 1, true, []],
    logged_in: [true, false, null, 0, 1, '', 'true', [], {}],
    referer: ['', 'not a URL', 'x'.repeat(3_000), null, 1, {}],
    referrer: ['', 'x'.repeat(3_000), null, 1, {}],
    url: ['/posts/7?ref=news', 'x'.repeat(3_000), null, 1, {}],
    timestamp: [
      '2026-11-21T12:34:56Z',
      '2026-11-21 12:34:56',
      1795264496,
      1795264496123,
      1795264496.5,
      1795264496123456,
      '1795264496123456789',
      { date: '2026-11-21 12:34:56.000000', timezone_type: 1, timezone: '+00:00' },
      { date: '2026-11-21 12:34:56', timezone_type: 3, timezone: 'UTC', more: 1 },
      { date: '2026-11-21T12:34:56', timezone_type: 3, timezone: 'UTC' },
      { date: '2026-11-21 12:34:56.000000', timezone_type: 4, timezone: 'UTC' },
      { date: '2026-11-21 12:34:56.000000', timezone_type: 3 },
      {},
      null,
      -1,
      true,
      [],
    ],
    viewed_at: ['2026-11-21T12:34:56+01:00', true],
  }
  for (const [field, samples] of Object.entries(values)) {
    for (const sample of samples) {
      const view =
        field === 'post_uuid' || field === 'post_id'
          ? { [field]: sample }
          : { post_uuid: 'a', [field]: sample }
      const isCounted = decode(view).views.length === 1
      assert.equal(Schema.Check(viewsSchema, view), isCounted, JSON.stringify(view).slice(0, 100))
    }
  }
  for (const message of [
    [],
    {},
    7,
    null,
    'text',
    [[]],
    Array.from({ length: 1_001 }, () => ({ post_id: 1 })),
  ]) {
    assert.equal(decode(message).invalid.length > 0, true)
    assert.equal(Schema.Check(viewsSchema, message), false)
  }
  assert.equal(VIEWS_QUEUE, channels['views']!['address'])
})
