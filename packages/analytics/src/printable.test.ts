import assert from 'node:assert/strict'
import { test } from 'node:test'
import { printable } from './printable.ts'

test('nothing that a terminal acts on is left in a line', () => {
  for (const [text, shown] of [
    ['a\u001b[2Jb', 'a\\u001b[2Jb'],
    ['\u009b31m', '\\u009b31m'],
    ['one\r\ntwo\tthree\u007f\u0000', 'one\\u000d\\u000atwo\\u0009three\\u007f\\u0000'],
    ['\u202eabc\u2066', '\\u202eabc\\u2066'],
    ['Grüße, 読者 🦊 {"a": "b\\n"}', 'Grüße, 読者 🦊 {"a": "b\\n"}'],
  ] as const)
    assert.equal(printable(text), shown)
})

test('JSON stays the same JSON', () => {
  const value = { body: 'a\u009b\u202e\u2028\u007f\u001b', 'k\u009by': 1 }
  const line = printable(JSON.stringify(value))
  assert.doesNotMatch(line, /[\u007f-\u009f\u2028\u202e]/)
  assert.deepEqual(JSON.parse(line), value)
})
