import assert from 'node:assert/strict'
import { test } from 'node:test'
import { networksOf, OwnViews, usersOf } from './own-views.ts'

const own = new OwnViews(
  usersOf('7,18446744073709551615'),
  networksOf(
    '203.0.113.0/24,192.0.2.7,::ffff:198.51.100.1,::ffff:100.64.0.0/106,2001:db8:1::/48,10.1.2.3/8,::/8',
  ),
)

for (const [userId, ip, expected] of [
  ['7', null, true],
  ['18446744073709551615', null, true],
  ['70', null, false],
  [null, null, false],
  [null, '203.0.113.255', true],
  [null, '203.0.114.0', false],
  [null, '192.0.2.7', true],
  [null, '192.0.2.8', false],
  [null, '198.51.100.1', true],
  [null, '10.200.0.1', true],
  [null, '100.127.0.1', true],
  [null, '100.128.0.1', false],
  [null, '8.8.8.8', false],
  [null, '::1', true],
  [null, '2001:db8:1:ffff::1', true],
  [null, '2001:db8:2::1', false],
  ['8', '203.0.113.1', true],
] as const) {
  test(`a view by user ${userId} from ${ip} is ${expected ? 'the site’s own' : 'a reader’s'}`, () => {
    assert.equal(own.has({ userId, ip }), expected)
  })
}

test('without settings no view is the site’s own', () => {
  const none = new OwnViews(usersOf(''), networksOf(' , '))
  assert.equal(none.has({ userId: '7', ip: '203.0.113.1' }), false)
})
