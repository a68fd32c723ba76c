import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LogLines } from './log-lines.ts'

/** Log lines to a pipe that accepts a write when `read` is called. */
function onPipe() {
  const written: string[] = []
  let finish: ((error?: Error) => void) | undefined
  const dropped: number[] = []
  const told: number[] = []
  const lines = new LogLines(
    { onDropped: count => dropped.push(count), onRoom: count => told.push(count) },
    (text, done) => {
      finish = error => {
        finish = undefined
        if (error === undefined) written.push(text)
        done(error)
      }
    },
  )
  return { lines, dropped, told, written, read: (error?: Error) => finish?.(error) }
}

test('lines that come while others are written go together after them, in their order', () => {
  const { lines, written, read } = onPipe()
  for (const line of ['a\n', 'b\n', 'c\n']) lines.write(line)
  read()
  read()
  assert.deepEqual(written, ['a\n', 'b\nc\n'])
})

test('while nobody reads 1 MiB waits, what comes then is dropped and counted, and told when somebody reads again', () => {
  const { lines, dropped, told, written, read } = onPipe()
  const line = `${'é'.repeat(511)}\n`
  for (let n = 0; n < 2_000; n++) lines.write(line)
  const kept = Math.floor(1_048_576 / Buffer.byteLength(line))
  assert.equal(dropped.length, 2_000 - kept)
  assert.deepEqual(told, [])
  read()
  assert.deepEqual(told, [2_000 - kept])
  read()
  assert.equal(written.join(''), line.repeat(kept))
  lines.write('again\n')
  read()
  assert.equal(written.at(-1), 'again\n')
  assert.equal(told.length, 1)
})

test('lines that cannot be written are dropped, and later ones are written all the same', () => {
  const { lines, dropped, told, written, read } = onPipe()
  lines.write('a\n')
  lines.write('b\n')
  read(new Error('ENOSPC'))
  assert.deepEqual([dropped, told], [[1], []])
  read()
  assert.deepEqual([written, told], [['b\n'], [1]])
})
