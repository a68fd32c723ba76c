import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Attempts } from './attempts.ts'

function attemptsAt() {
  const clock = { now: 0 }
  const attempts = new Attempts(() => clock.now)
  return {
    clock,
    wait: (address: string | null, browser: string | null = null) =>
      attempts.waitSeconds({ address, browser }),
    fail(times: number, address: string | null, browser: string | null = null) {
      for (let n = 0; n < times; n++) {
        const asker = { address, browser }
        if (attempts.waitSeconds(asker) === 0) attempts.failed(asker)
      }
    },
  }
}

test('waiting ends ten minutes after the first of the attempts that are too many', () => {
  const { clock, wait, fail } = attemptsAt()
  fail(5, '192.0.2.1')
  clock.now = 60_000
  fail(50, '192.0.2.1')
  assert.equal(wait('192.0.2.1'), 540)
  clock.now = 599_999
  assert.equal(wait('192.0.2.1'), 1)
  clock.now = 600_000
  assert.equal(wait('192.0.2.1'), 0)
  fail(50, '192.0.2.1')
  assert.equal(wait('192.0.2.1'), 60, 'five more, and those of the second minute count yet')
})

test('a household is one address, and what one buys as a network is limited as one', () => {
  const { wait, fail } = attemptsAt()
  fail(10, '2001:db8:1:2::1')
  assert.ok(wait('2001:db8:1:2:ffff::') > 0)
  assert.equal(wait('2001:db8:1:3::1'), 0)
  assert.equal(wait('2001:db8:1::'), 0)
  for (let n = 16; n < 80; n++) fail(1, `2001:db8:1:${n.toString(16)}::1`)
  assert.ok(wait('2001:db8:1:ffff::1') > 0)
  assert.equal(wait('2001:db8:2::1'), 0)
  for (let n = 0; n < 40; n++) fail(1, `192.0.2.${n}`)
  assert.ok(wait('192.0.2.200') > 0)
  assert.equal(wait('192.0.3.1'), 0)
  fail(10, null)
  assert.ok(wait(null) > 0, 'who has no address that can be told shares one')
})

test('a flood of addresses takes no memory, and neither lets off nor locks out whom it is not', () => {
  const { clock, wait, fail } = attemptsAt()
  fail(10, '192.0.2.1')
  fail(3, '203.0.113.1', 'a browser')
  for (let n = 0; n < 100_000; n++) fail(1, `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`)
  assert.ok(wait('192.0.2.1') > 0)
  assert.ok(wait('198.51.100.1') > 0)
  assert.equal(wait('198.51.100.1', 'another browser'), 0)
  assert.equal(wait('192.0.2.1', 'a browser'), 0)
  fail(7, '203.0.113.1', 'a browser')
  assert.ok(wait('203.0.113.1', 'a browser') > 0)
  clock.now = 600_000
  assert.equal(wait('203.0.113.1', 'a browser'), 0)
})
