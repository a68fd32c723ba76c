import assert from 'node:assert/strict'
import { test } from 'node:test'
import { passwordCheck, Sessions } from './sessions.ts'

const HOUR_MS = 3_600_000

test('a session lasts as long as it was said to, and no longer', () => {
  let now = 0
  const sessions = new Sessions({ hours: 2, now: () => now })
  const token = sessions.begin()
  assert.match(token, /^[\w-]{43}$/)
  now = 2 * HOUR_MS - 1
  assert.ok(sessions.has(token))
  now = 2 * HOUR_MS
  assert.ok(!sessions.has(token))
})

test('a session that was ended is over, and the others go on', () => {
  const sessions = new Sessions({ hours: 1 })
  const [first, second] = [sessions.begin(), sessions.begin()]
  sessions.end(first)
  assert.deepEqual(
    [first, second, undefined, ''].map(token => sessions.has(token)),
    [false, true, false, false],
  )
})

test('there are a thousand sessions at most: the first gives way', () => {
  const sessions = new Sessions({ hours: 1 })
  const tokens = Array.from({ length: 1_001 }, () => sessions.begin())
  assert.deepEqual(
    [0, 1, 1_000].map(index => sessions.has(tokens[index])),
    [false, true, true],
  )
})

test('a password is right when it is the same, whatever its length and letters', () => {
  const isPassword = passwordCheck('Żółw 🐢')
  assert.ok(isPassword('Żółw 🐢'))
  for (const other of ['', 'Żółw', 'żółw 🐢', 'Żółw 🐢 ']) assert.ok(!isPassword(other), other)
})
