import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  canonicalIp,
  canonicalPost,
  cut,
  decodeMessage,
  INVALID_REASONS,
  type InvalidReason,
  MAX_EVENTS_PER_MESSAGE,
  MAX_MESSAGE_BYTES,
  type MessageProperties,
  type View,
} from './view.ts'

const UUID = '0190163d-8694-739b-aea5-966c26f8ad90'
const OTHER_UUID = '7f3c1a54-0b63-4f5e-9a53-2f6c0f6a1d11'
const RECEIVED_AT = Date.UTC(2026, 2, 1, 12, 0, 0) / 1_000
const MAX_AGE_SECONDS = 30 * 86_400
const NO_FLAGS = { idsIgnored: 0, timesAhead: 0, amqpTimesIgnored: 0 }
const NO_IDS = [
  '00000000-0000-0000-0000-000000000000',
  'ffffffff-ffff-ffff-ffff-ffffffffffff',
  'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF',
]

function decode(content: unknown, properties: MessageProperties = {}) {
  return decodeBytes(Buffer.from(JSON.stringify(content)), properties)
}

function decodeBytes(body: Buffer | string, properties: MessageProperties = {}) {
  const options = { receivedAt: RECEIVED_AT, maxAgeSeconds: MAX_AGE_SECONDS }
  return decodeMessage(Buffer.from(body), properties, options)
}

/** The one view of an event for post 7 with these fields. */
function view(fields: object, properties: MessageProperties = {}): View {
  const { views, invalid } = decode({ post_uuid: 7, ...fields }, properties)
  assert.deepEqual(invalid, [])
  assert.equal(views.length, 1)
  return views[0]!
}

/** Why an event for post 7 with these fields is a dead letter. */
function reason(fields: object, properties: MessageProperties = {}): InvalidReason {
  const { views, invalid } = decode({ post_uuid: 7, ...fields }, properties)
  assert.deepEqual(views, [])
  assert.equal(invalid.length, 1)
  return invalid[0]!.reason
}

test('reads an event with every field', () => {
  const event = {
    event_id: UUID.toUpperCase(),
    post_uuid: OTHER_UUID.toUpperCase(),
    user_id: 42,
    ip: '203.0.113.7',
    user_agent: 'Mozilla/5.0',
    referer: 'https://example.org/a?b=c',
    url: '/a?utm_source=b',
    timestamp: '2026-03-01T11:59:58.999Z',
    whatever: { else: 'is ignored' },
  }
  assert.deepEqual(decode(event), {
    views: [
      {
        eventId: UUID,
        postUuid: OTHER_UUID,
        userId: '42',
        loggedIn: true,
        ip: '203.0.113.7',
        userAgent: 'Mozilla/5.0',
        referer: 'https://example.org/a?b=c',
        url: '/a?utm_source=b',
        viewedAt: RECEIVED_AT - 2,
        ownTime: RECEIVED_AT - 2,
        timeSource: 'event',
        index: null,
      },
    ],
    invalid: [],
    ...NO_FLAGS,
  })
})

test('reads the event of the first article: a post_id, and nothing else that is required', () => {
  assert.deepEqual(decode({ post_id: 17, user_id: null, ip: '::1', user_agent: null }).views, [
    {
      eventId: null,
      postUuid: '17',
      userId: null,
      loggedIn: false,
      ip: '::1',
      userAgent: null,
      referer: null,
      url: null,
      viewedAt: RECEIVED_AT,
      ownTime: null,
      timeSource: 'receipt',
      index: null,
    },
  ])
})

test('a view of an array knows its place, whatever stands before it', () => {
  const { views, invalid } = decode([{ post_uuid: 'a' }, 'none', { post_uuid: 'b' }, {}, { post_uuid: 'a' }])
  assert.deepEqual(
    views.map(({ postUuid, index }) => [postUuid, index]),
    [
      ['a', 0],
      ['b', 2],
      ['a', 4],
    ],
  )
  assert.deepEqual(
    invalid.map(({ index }) => index),
    [1, 3],
  )
  assert.equal(decode([{ post_uuid: 'a' }]).views[0]?.index, 0)
})

test('the better name of a field wins over its alias', () => {
  assert.equal(view({ post_uuid: 'a', post_id: 'b' }).postUuid, 'a')
  assert.equal(view({ timestamp: RECEIVED_AT - 1, viewed_at: RECEIVED_AT - 2 }).viewedAt, RECEIVED_AT - 1)
  assert.equal(view({ timestamp: null, viewed_at: RECEIVED_AT - 2 }).viewedAt, RECEIVED_AT - 2)
  assert.equal(
    view({ referer: 'https://a.example/', referrer: 'https://b.example/' }).referer,
    'https://a.example/',
  )
  assert.equal(view({ referer: null, referrer: 'https://b.example/' }).referer, 'https://b.example/')
})

describe('the post', () => {
  const accepted: [unknown, string][] = [
    [UUID.toUpperCase(), UUID],
    ['Ab_9-', 'Ab_9-'],
    ['A', 'A'],
    ['x'.repeat(36), 'x'.repeat(36)],
    ['007', '007'],
    [1, '1'],
    [Number.MAX_SAFE_INTEGER, '9007199254740991'],
    ['__proto__', '__proto__'],
  ]
  for (const [post, postUuid] of accepted) {
    test(`${JSON.stringify(post)} is ${JSON.stringify(postUuid)}`, () => {
      assert.equal(view({ post_uuid: post }).postUuid, postUuid)
      assert.equal(view({ post_uuid: undefined, post_id: post }).postUuid, postUuid)
    })
  }
  test('ids that differ in case alone stay two posts, unless they are UUIDs', () => {
    assert.notEqual(canonicalPost('aB1'), canonicalPost('Ab1'))
    assert.equal(canonicalPost(UUID.toUpperCase()), canonicalPost(UUID))
  })
  const refused: [unknown, InvalidReason][] = [
    [undefined, 'no_post'],
    [null, 'no_post'],
    ['', 'bad_post'],
    ['x'.repeat(37), 'bad_post'],
    ['a b', 'bad_post'],
    ['a\n', 'bad_post'],
    ['пост', 'bad_post'],
    ['a\0', 'nul'],
    [0, 'bad_post'],
    [-1, 'bad_post'],
    [1.5, 'bad_post'],
    [2 ** 53, 'imprecise'],
    [true, 'bad_post'],
    [['a'], 'bad_post'],
    [{}, 'bad_post'],
  ]
  for (const [post, why] of refused) {
    test(`${JSON.stringify(post)} is ${why}`, () => assert.equal(reason({ post_uuid: post }), why))
  }
})

describe('the user', () => {
  const accepted: [unknown, string | null][] = [
    [undefined, null],
    [null, null],
    [1, '1'],
    [2 ** 53 - 1, '9007199254740991'],
    ['9007199254740993', '9007199254740993'],
    ['18446744073709551615', '18446744073709551615'],
  ]
  for (const [user, userId] of accepted) {
    test(`${JSON.stringify(user)} is ${userId}`, () => assert.equal(view({ user_id: user }).userId, userId))
  }
  const refused: [unknown, InvalidReason][] = [
    [0, 'bad_user'],
    [-5, 'bad_user'],
    [1.5, 'bad_user'],
    [2 ** 53, 'imprecise'],
    [1e20, 'imprecise'],
    ['0', 'bad_user'],
    ['007', 'bad_user'],
    ['+1', 'bad_user'],
    ['1.0', 'bad_user'],
    [' 1', 'bad_user'],
    ['', 'bad_user'],
    ['1\0', 'bad_user'],
    ['18446744073709551616', 'bad_user'],
    ['99999999999999999999', 'bad_user'],
    [false, 'bad_user'],
    [{}, 'bad_user'],
  ]
  for (const [user, why] of refused) {
    test(`${JSON.stringify(user)} is ${why}`, () => assert.equal(reason({ user_id: user }), why))
  }
  test('a number with more digits than it can hold is imprecise, not another user', () => {
    const { invalid } = decodeBytes('{"post_uuid":7,"user_id":9007199254740993}')
    assert.equal(invalid[0]?.reason, 'imprecise')
  })
})

describe('who is logged in', () => {
  const cases: [user: unknown, said: unknown, loggedIn: boolean][] = [
    [7, undefined, true],
    [7, null, true],
    [7, true, true],
    // A user id means logged in, whatever `logged_in` says.
    [7, false, true],
    [null, undefined, false],
    [null, null, false],
    [null, false, false],
    [null, true, true],
    [undefined, true, true],
  ]
  for (const [user_id, logged_in, loggedIn] of cases) {
    test(`user_id ${user_id} with logged_in ${logged_in}: ${loggedIn}`, () =>
      assert.equal(view({ user_id, logged_in }).loggedIn, loggedIn))
  }
  for (const logged_in of ['true', '', 'yes', 0, 1, [], {}]) {
    test(`is not told by ${JSON.stringify(logged_in)}`, () => {
      assert.equal(reason({ logged_in }), 'bad_logged_in')
      assert.equal(reason({ logged_in, user_id: 7 }), 'bad_logged_in')
    })
  }
})

describe('the event id', () => {
  test('is lower-cased', () => assert.equal(view({ event_id: UUID.toUpperCase() }).eventId, UUID))
  for (const id of [
    7,
    '',
    'abc',
    `{${UUID}}`,
    `${UUID}\n`,
    UUID.replaceAll('-', ''),
    `${UUID}\0`,
    [],
    true,
  ]) {
    test(`${JSON.stringify(id)} is not one`, () => assert.equal(reason({ event_id: id }), 'bad_event_id'))
  }
  test('is the message_id of a message with one event', () => {
    const one = { post_uuid: 7 }
    for (const content of [one, [one]]) {
      const { views, idsIgnored } = decode(content, { messageId: UUID.toUpperCase() })
      assert.equal(views[0]?.eventId, UUID)
      assert.equal(idsIgnored, 0)
    }
  })
  test('of the event wins over the message_id', () => {
    assert.equal(view({ event_id: OTHER_UUID }, { messageId: UUID }).eventId, OTHER_UUID)
    for (const messageId of ['x', ...NO_IDS])
      assert.equal(decode({ post_uuid: 7, event_id: UUID }, { messageId }).idsIgnored, 0)
  })
  test('is never the message_id of a message with several events', () => {
    const { views, idsIgnored } = decode([{ post_uuid: 7 }, { post_uuid: 8 }], { messageId: UUID })
    assert.deepEqual([views[0]?.eventId, views[1]?.eventId], [null, null])
    assert.equal(idsIgnored, 0)
  })
  test('a message_id that is not a UUID, or one that programs send for none, is ignored, and said to be', () => {
    for (const messageId of ['42', '', 42, `${UUID} `, ...NO_IDS]) {
      const { views, idsIgnored } = decode({ post_uuid: 7 }, { messageId })
      assert.equal(views[0]?.eventId, null)
      assert.equal(idsIgnored, 1)
    }
    assert.equal(decode({ post_uuid: 7 }, { messageId: null }).idsIgnored, 0)
  })
  for (const event_id of NO_IDS) {
    test(`${event_id} is as if there were none, and said to be`, () => {
      const several = decode([
        { post_uuid: 7, event_id },
        { post_uuid: 8, event_id },
        { post_uuid: 9, event_id: UUID },
      ])
      assert.deepEqual(
        several.views.map(({ postUuid, eventId }) => [postUuid, eventId]),
        [
          ['7', null],
          ['8', null],
          ['9', UUID],
        ],
      )
      assert.equal(several.idsIgnored, 2)
      const one = decode({ post_uuid: 7, event_id }, { messageId: OTHER_UUID.toUpperCase() })
      assert.deepEqual([one.views[0]?.eventId, one.idsIgnored], [OTHER_UUID, 1])
      const none = decode({ post_uuid: 7, event_id }, { messageId: event_id })
      assert.deepEqual([none.views[0]?.eventId, none.idsIgnored], [null, 1])
      assert.equal(decode({ post_uuid: 7, event_id, ip: 'x' }).idsIgnored, 0)
    })
  }
  test('of a UUID with few digits is one', () => {
    for (const id of ['00000000-0000-0000-0000-000000000001', 'ffffffff-ffff-ffff-ffff-fffffffffffe'])
      assert.equal(view({ event_id: id }).eventId, id)
  })
})

describe('the address', () => {
  const canonical: [string, string][] = [
    ['203.0.113.7', '203.0.113.7'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:0db8:0000:0000:0000:0000:0000:0001', '2001:db8::1'],
    ['2001:db8::1:0:0:1', '2001:db8::1:0:0:1'],
    ['2a02:8108:8ac0:3d00:a1b2:c3d4:e5f6:7890', '2a02:8108:8ac0:3d00:a1b2:c3d4:e5f6:7890'],
    ['2A02:8108:8AC0:3D00:A1B2:C3D4:E5F6:7890', '2a02:8108:8ac0:3d00:a1b2:c3d4:e5f6:7890'],
    ['2a02:8108:8ac0:3d00:a1b2:c3d4:0e5f:7890', '2a02:8108:8ac0:3d00:a1b2:c3d4:e5f:7890'],
    ['2a02:8108:8ac0:3d00:a1b2:c3d4:0:7890', '2a02:8108:8ac0:3d00:a1b2:c3d4:0:7890'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['::FFFF:cb00:7107', '203.0.113.7'],
    ['0:0:0:0:0:ffff:203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7%eth0', '203.0.113.7'],
    ['fe80::1%eth0', 'fe80::1'],
    ['FE80::1%12', 'fe80::1'],
    ['::', '::'],
    ['::1', '::1'],
    ['0:0:0:0:0:0:0:0', '::'],
  ]
  for (const [ip, expected] of canonical) {
    test(`${ip} is ${expected}`, () => {
      assert.equal(view({ ip }).ip, expected)
      assert.equal(canonicalIp(expected), expected)
    })
  }
  test('is null when null or absent', () => {
    assert.equal(view({ ip: null }).ip, null)
    assert.equal(view({}).ip, null)
  })
  const refused = [
    '',
    'localhost',
    '1.2.3',
    '01.2.3.4',
    '256.1.1.1',
    '1.2.3.4:80',
    '[::1]',
    '::1%',
    ':::',
    7,
    [],
  ]
  for (const ip of [...refused, '1.2.3.4\0', ' 1.2.3.4', '1.2.3.4, 5.6.7.8', {}, false]) {
    test(`${JSON.stringify(ip)} is bad_ip`, () => assert.equal(reason({ ip }), 'bad_ip'))
  }
})

describe('user agent and referer', () => {
  test('are cut at 2,000 and 500 characters', () => {
    const { userAgent, referer } = view({ user_agent: 'a'.repeat(2_001), referer: 'b'.repeat(501) })
    assert.equal(userAgent, 'a'.repeat(2_000))
    assert.equal(referer, 'b'.repeat(500))
    assert.equal(view({ referrer: 'b'.repeat(501) }).referer, 'b'.repeat(500))
  })
  test('are cut between characters, never through one', () => {
    assert.equal(cut('😀'.repeat(3), 2), '😀😀')
    assert.equal(cut('a😀b', 2), 'a😀')
    assert.equal(cut('ab😀', 3), 'ab😀')
    assert.equal(cut('é'.repeat(5), 5), 'é'.repeat(5))
    assert.equal(view({ referer: '😀'.repeat(501) }).referer, '😀'.repeat(500))
  })
  test('broken surrogates become U+FFFD, and count as one character', () => {
    assert.equal(view({ user_agent: 'a\ud800b' }).userAgent, 'a�b')
    assert.equal(decodeBytes('{"post_uuid":7,"referer":"\\udc00\\ud83d\\ude00"}').views[0]?.referer, '�😀')
    assert.equal(cut('\ud800\ud800\ud800', 2), '��')
    assert.equal(cut('\udc00\ud800😀x', 3), '��😀')
  })
  test('may be empty', () => assert.equal(view({ user_agent: '', referer: '' }).userAgent, ''))
  test('are text or nothing', () => {
    assert.equal(reason({ user_agent: 7 }), 'bad_user_agent')
    assert.equal(reason({ referer: ['x'] }), 'bad_referer')
    assert.equal(reason({ referrer: 7 }), 'bad_referer')
  })
  test('with a NUL are dead letters, even beyond the cut', () => {
    assert.equal(reason({ user_agent: 'a\0b' }), 'nul')
    assert.equal(reason({ referrer: 'a\0b' }), 'nul')
    assert.equal(reason({ referer: `${'x'.repeat(600)}\0` }), 'nul')
  })
})

describe('a message', () => {
  const whole: [string, Buffer, InvalidReason][] = [
    ['nothing', Buffer.from(''), 'not_json'],
    ['half an object', Buffer.from('{"post_uuid":7'), 'not_json'],
    ['two objects', Buffer.from('{"post_uuid":7}{"post_uuid":8}'), 'not_json'],
    ['a raw NUL', Buffer.from('{"post_uuid":"a\0"}'), 'not_json'],
    ['Latin-1', Buffer.from('{"post_uuid":7,"user_agent":"caf\xe9"}', 'latin1'), 'not_utf8'],
    ['a cut character', Buffer.from('{"post_uuid":7,"referer":"é"}').subarray(0, -3), 'not_utf8'],
    ['a UTF-8 surrogate', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 'not_utf8'],
    ['UTF-16', Buffer.from('{"post_uuid":7}', 'utf16le'), 'not_json'],
    ['an empty array', Buffer.from(' [ ] '), 'empty'],
    ['a number', Buffer.from('7'), 'not_an_event'],
    ['null', Buffer.from('null'), 'not_an_event'],
    ['a text', Buffer.from('"{}"'), 'not_an_event'],
    ['1 MiB of [', Buffer.from('['.repeat(MAX_MESSAGE_BYTES)), 'not_json'],
    ['an object nested 100,000 deep', Buffer.from(`${'{"a":'.repeat(1e5)}1${'}'.repeat(1e5)}`), 'no_post'],
    ['a byte over 1 MiB', Buffer.from(`{"post_uuid":7}${' '.repeat(MAX_MESSAGE_BYTES - 14)}`), 'too_large'],
    ['10 MB', Buffer.alloc(1e7, 0x20), 'too_large'],
  ]
  for (const [what, body, why] of whole) {
    test(`of ${what} is one dead letter as ${why}`, () => {
      assert.deepEqual(decodeBytes(body), {
        views: [],
        invalid: [{ reason: why, index: null, body }],
        ...NO_FLAGS,
      })
    })
  }
  test('of exactly 1 MiB is read', () => {
    const body = `{"post_uuid":7}${' '.repeat(MAX_MESSAGE_BYTES - 15)}`
    assert.equal(body.length, MAX_MESSAGE_BYTES)
    assert.equal(decodeBytes(body).views.length, 1)
  })
  test('may begin with a byte order mark', () => {
    assert.equal(decodeBytes('\ufeff{"post_uuid":7}').views.length, 1)
    const { views, invalid } = decodeBytes('\ufeff[{"post_uuid":7}, 8]')
    assert.equal(views.length, 1)
    assert.equal(invalid[0]?.body.toString(), '8')
  })
  test('holds up to 1,000 events, and one more is too many', () => {
    const events = Array.from({ length: MAX_EVENTS_PER_MESSAGE }, (_, n) => ({ post_uuid: n + 1 }))
    assert.equal(decode(events).views.length, MAX_EVENTS_PER_MESSAGE)
    const { views, invalid } = decode([...events, { post_uuid: 1 }])
    assert.deepEqual(views, [])
    assert.deepEqual([invalid[0]?.reason, invalid[0]?.index], ['too_many', null])
  })
  test('keeps its good events in order, and each bad one becomes a dead letter alone, with its place', () => {
    const { views, invalid } = decode([{ post_uuid: 1 }, 7, { post_uuid: 2, ip: 'x' }, [], { post_uuid: 3 }])
    assert.deepEqual(
      views.map(({ postUuid }) => postUuid),
      ['1', '3'],
    )
    assert.deepEqual(
      invalid.map(({ reason, index, body }) => [reason, index, body.toString()]),
      [
        ['not_an_event', 1, '7'],
        ['bad_ip', 2, '{"post_uuid":2,"ip":"x"}'],
        ['not_an_event', 3, '[]'],
      ],
    )
  })
  test('with a bad event 100,000 deep keeps its neighbours, and sets that one aside to the byte', () => {
    const deep = `${'['.repeat(1e5)}"]"${']'.repeat(1e5)}`
    const { views, invalid } = decodeBytes(`[{"post_uuid":1} , ${deep} ,{"post_uuid":2}]`)
    assert.equal(views.length, 2)
    assert.equal(invalid.length, 1)
    assert.equal(invalid[0]?.body.equals(Buffer.from(deep)), true)
  })
  test('keeps in a dead letter the digits that JSON.parse would have lost', () => {
    const event = '{"post_uuid":7,"user_id":123456789012345678901}'
    assert.equal(decodeBytes(`[${event}]`).invalid[0]?.body.toString(), event)
  })
})

test('every reason that is documented can be met, and no other', () => {
  const met = new Set(
    [
      decodeBytes(' '.repeat(MAX_MESSAGE_BYTES + 1)),
      decodeBytes(Buffer.from([0xff])),
      decodeBytes('{'),
      decode([]),
      decode(Array.from({ length: 1_001 }, () => 0)),
      decode(7),
      decode({ post_uuid: '\0' }),
      decode({}),
      decode({ post_uuid: '' }),
      decode({ post_uuid: 7, event_id: 'x' }),
      decode({ post_uuid: 7, user_id: 0 }),
      decode({ post_uuid: 7, user_id: 2 ** 53 }),
      decode({ post_uuid: 7, logged_in: 0 }),
      decode({ post_uuid: 7, ip: 'x' }),
      decode({ post_uuid: 7, user_agent: 0 }),
      decode({ post_uuid: 7, referer: 0 }),
      decode({ post_uuid: 7, timestamp: 'x' }),
      decode({ post_uuid: 7, timestamp: 0 }),
    ].flatMap(({ invalid }) => invalid.map(({ reason }) => reason)),
  )
  assert.deepEqual([...met].sort(), Object.keys(INVALID_REASONS).sort())
})

describe('whatever comes', () => {
  const random = seededRandom(20_260_301)
  const pick = <T>(choices: readonly T[]): T => choices[Math.floor(random() * choices.length)]!

  const tricky = [
    '"',
    '\\',
    ',',
    '[',
    ']',
    '{',
    '}',
    ':',
    '\\"',
    '],[',
    ' ',
    '😀',
    'é',
    '\u2028',
    '\\\\',
    '\ufeff',
  ]
  const space = () => pick(['', '', ' ', '\n', '\t \r\n'])
  const text = () =>
    JSON.stringify(Array.from({ length: Math.floor(random() * 6) }, () => pick(tricky)).join(''))
  const value = (depth: number): string => {
    const list = (open: string, item: () => string, close: string) => {
      const items = Array.from({ length: Math.floor(random() * 4) }, () => space() + item() + space())
      return `${open}${items.join(',') || space()}${close}`
    }
    const kind = depth === 0 ? 0 : random()
    if (kind < 0.5)
      return pick([text, () => pick(['1', '-0.10e+2', 'true', 'null', '1234567890123456789'])])()
    if (kind < 0.75) return list('[', () => value(depth - 1), ']')
    return list('{', () => `${text()}${space()}:${space()}${value(depth - 1)}`, '}')
  }
  const good = (post: number) => `{${space()}"post_uuid":${post},"x${text().slice(1)}:${value(2)}${space()}}`
  const bad = () =>
    pick([() => value(3), () => `{"post_uuid":${space()}0,"y":${value(3)}}`, () => `{"z":${value(3)}}`])()

  test('each bad event of an array is a dead letter to the byte, and each good one is read', () => {
    for (let round = 0; round < 3_000; round++) {
      const elements = Array.from({ length: 1 + Math.floor(random() * 6) }, (_, index) =>
        random() < 0.5 ? { isGood: true, json: good(index + 1) } : { isGood: false, json: bad() },
      )
      const inside = elements.map(({ json }) => space() + json + space()).join(',')
      const body = `${space()}[${inside}]${space()}`
      const { views, invalid } = decodeBytes(body)
      const expected = elements.flatMap(({ isGood, json }, index) => (isGood ? [] : [[index, json]]))
      assert.deepEqual(
        invalid.map(({ index, body }) => [index, body.toString()]),
        expected,
        body,
      )
      assert.equal(views.length, elements.length - expected.length, body)
    }
  })

  test('a good message damaged anywhere never throws, and nothing of it goes missing', () => {
    const original = Buffer.from(
      JSON.stringify([
        {
          post_uuid: UUID,
          event_id: OTHER_UUID,
          user_id: 5,
          ip: 'fe80::1%eth0',
          timestamp: '2026-03-01 12:00:00',
        },
        {
          post_id: 'a',
          user_id: '18446744073709551615',
          ip: '::ffff:1.2.3.4',
          referer: 'é😀',
          user_agent: '\0',
        },
      ]),
    )
    for (let round = 0; round < 20_000; round++) {
      const body = Buffer.from(original)
      for (let hits = 1 + Math.floor(random() * 3); hits > 0; hits--) {
        body[Math.floor(random() * body.length)] = Math.floor(random() * 256)
      }
      const { views, invalid } = decodeBytes(body)
      const isWhole = invalid.length === 1 && invalid[0]!.index === null
      assert.ok(isWhole ? invalid[0]!.body.equals(body) : views.length + invalid.length > 0)
    }
  })
})

/** Repeatable random numbers in [0, 1), by a linear congruential generator. */
function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
