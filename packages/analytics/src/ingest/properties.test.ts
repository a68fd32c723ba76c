import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  field,
  headers,
  longlong,
  longText,
  nested,
  propertyList,
  table,
} from '../../../../test/support/wire-publisher.ts'
import { carryOver, namesOf, OWN_HEADERS } from './carry-over.ts'
import { MAX_DEPTH, Properties, plain } from './properties.ts'

const MAX_BYTES = 40_960
const float = Buffer.from([0x3f, 0xc0, 0, 0])
const double = Buffer.from([0x3f, 0xf8, 0, 0, 0, 0, 0, 0])

/** Every type of the errata, and the `L` of py-amqp, with what it is read as. */
const TYPES: [type: string, bytes: Buffer, value: unknown][] = [
  ['t', Buffer.from([1]), true],
  ['b', Buffer.from([0xff]), -1],
  ['B', Buffer.from([0xff]), 255],
  ['s', Buffer.from([0xff, 0xfe]), -2],
  ['u', Buffer.from([0xff, 0xfe]), 65_534],
  ['I', Buffer.from([0xff, 0xff, 0xff, 0xfe]), -2],
  ['i', Buffer.from([0xff, 0xff, 0xff, 0xfe]), 4_294_967_294],
  ['l', longlong(-5n), -5],
  ['L', longlong(1_795_852_800_000n), 1_795_852_800_000],
  ['l', longlong(2n ** 62n), 2n ** 62n],
  ['f', float, 1.5],
  ['d', double, 1.5],
  ['D', Buffer.from([2, 0, 0, 0, 7]), { places: 2, digits: 7 }],
  ['S', longText('text'), 'text'],
  ['S', longText(Buffer.from([0xff])), Buffer.from([0xff])],
  ['A', longText(Buffer.concat([Buffer.from('t\x01'), Buffer.from('V')])), [true, null]],
  ['T', longlong(2n ** 63n), 2n ** 63n],
  ['V', Buffer.alloc(0), null],
  ['x', longText(Buffer.from([0, 1])), Buffer.from([0, 1])],
]

describe('headers', () => {
  test('of every type are read, and those after them', () => {
    for (const [type, bytes, value] of TYPES) {
      const { allHeaders } = new Properties(headers(field('it', type, bytes), field('next', 'V')))
      assert.deepEqual(plain(allHeaders.fields['it']!), value, type)
      assert.deepEqual([allHeaders.fields['next'], allHeaders.unread], [null, []], type)
    }
    const inside = new Properties(headers(field('it', 'F', table(field('a', 'b', Buffer.from([7]))))))
    assert.equal(plain((inside.allHeaders.fields['it'] as Record<string, never>)['a']!), 7)
  })

  test('of a type that is none end the reading of the table, and of nothing else', () => {
    const list = propertyList({
      headers: table(field('first', 'V'), field('it', 'Z', longText('?')), field('last', 'V')),
      messageId: 'm-1',
      timestamp: 7n,
    })
    const properties = new Properties(list)
    assert.deepEqual(Object.keys(properties.allHeaders.fields), ['first'])
    assert.deepEqual(properties.allHeaders.unread, ['it', '…'])
    assert.deepEqual([properties.messageId, properties.timestamp], ['m-1', 7])
  })

  test('as deep as the limit are read; deeper ones, and odd ones inside, are passed over', () => {
    for (const type of ['A', 'F'] as const) {
      const list = headers(
        field('deep', type, nested(type, MAX_DEPTH)),
        field('deeper', type, nested(type, MAX_DEPTH + 1)),
        field('deepest', type, nested(type, 2_000)),
        field('last', 'V'),
      )
      const { fields, unread } = new Properties(list).allHeaders
      assert.deepEqual(Object.keys(fields), ['deep', 'last'])
      assert.deepEqual(unread, ['deeper', 'deepest'])
    }
    const odd = headers(
      field('type', 'F', table(field('a', 'Z'))),
      field('short', 'F', table(field('a', 'I', Buffer.from([1])))),
      field('bang', 'F', table(field('!', 'S', longText('timestamp')), field('value', 'V'))),
      field(Buffer.from([0xff]), 'S', longText('a name that is no text')),
      field('__proto__', 'F', table(field('a', 'V'))),
      field('last', 'V'),
    )
    const { fields, unread } = new Properties(odd).allHeaders
    assert.deepEqual(unread, ['type', 'short', 'bang', '?'])
    assert.deepEqual(Object.keys(fields), ['__proto__', 'last'])
    assert.deepEqual(new Properties(odd).headers, {})
  })

  test('that end early, at every byte of them, throw nothing', () => {
    const list = propertyList({
      contentType: 'application/json',
      headers: table(...TYPES.map(([type, bytes], index) => field(`h${index}`, type, bytes))),
      correlationId: 'c',
      messageId: 'm-1',
      timestamp: 7n,
      appId: 'a',
    })
    for (let length = 0; length <= list.length; length++) {
      const properties = new Properties(list.subarray(0, length))
      assert.ok([undefined, 'm-1'].includes(properties.messageId))
      assert.ok([undefined, 7].includes(properties.timestamp as number | undefined))
      carryOver(properties, OWN_HEADERS, MAX_BYTES)
    }
    // The same with a table that says it is longer, or shorter, than it is.
    const lying = Buffer.from(list)
    for (const length of [0, 1, 5, 2 ** 31]) {
      lying.writeUInt32BE(length, 2 + 1 + 'application/json'.length)
      carryOver(new Properties(lying), OWN_HEADERS, MAX_BYTES)
    }
  })
})

describe('what a dead letter keeps', () => {
  const list = (properties: Parameters<typeof propertyList>[0]) => new Properties(propertyList(properties))

  test('is all that can be written again, but for its priority', () => {
    const said = {
      contentType: 'application/json',
      contentEncoding: 'gzip',
      correlationId: 'c-1',
      messageId: 'm-1',
      type: 'view',
      appId: 'blog',
    }
    const entries = [
      field('a', 'l', longlong(2n ** 60n)),
      field('b', 'f', float),
      field('c', 'S', longText('x')),
    ]
    const { options, leftOut } = carryOver(
      list({ ...said, priority: 3, timestamp: 9n, headers: table(...entries) }),
      [],
      MAX_BYTES,
    )
    assert.deepEqual({ ...options, headers: null }, { ...said, timestamp: 9, headers: null })
    assert.deepEqual(
      { ...options.headers },
      { a: { '!': 'int64', value: 2n ** 60n }, b: { '!': 'float', value: 1.5 }, c: 'x' },
    )
    // A queue would put it before older ones.
    assert.deepEqual(leftOut, ['priority'])
  })

  test('names what is left out: what cannot be written, what the broker would act on, what is too large', () => {
    const { options, leftOut } = carryOver(
      list({
        messageId: Buffer.alloc(255, 0xff),
        appId: Buffer.from([0xe9]),
        timestamp: 2n ** 64n - 1n,
        expiration: '1',
        replyTo: 'amq.rabbitmq.reply-to',
        headers: table(
          field('CC', 'A', longText(Buffer.concat([Buffer.from('S'), longText('postviews.views')]))),
          field('BCC', 'V'),
          field('reason', 'S', longText('mine')),
          field('large', 'x', longText(Buffer.alloc(100_000))),
          field('small', 'V'),
          field('odd', 'Z'),
        ),
      }),
      OWN_HEADERS,
      MAX_BYTES,
    )
    assert.deepEqual({ ...options, headers: Object.keys(options.headers) }, { headers: ['small'] })
    assert.deepEqual(leftOut.sort(), [
      'app_id',
      'expiration',
      'headers.BCC',
      'headers.CC',
      'headers.large',
      'headers.odd',
      'headers.reason',
      'headers.…',
      'message_id',
      'reply_to',
      'timestamp',
    ])
  })

  test('names little, however much is left out', () => {
    const names = namesOf(Array.from({ length: 5_000 }, (_, n) => `headers.${'é'.repeat(200)}${n}`))
    assert.equal(names.length, 51)
    assert.equal(names.at(-1), 'and 4950 more')
    assert.ok(Buffer.byteLength(JSON.stringify(names)) < 16_000)
  })
})
