import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextLoop } from 'node:timers/promises'
import { Problem } from './problem.ts'
import { Turns } from './turns.ts'

const NEVER = new AbortController().signal

/** Work that ends on command, and the names of the work begun, in order. */
function workshop() {
  const begun: string[] = []
  const ends = new Map<string, PromiseWithResolvers<string>>()
  return {
    begun,
    work: (name: string) => () => {
      begun.push(name)
      const end = Promise.withResolvers<string>()
      ends.set(name, end)
      return end.promise
    },
    end: (name: string) => ends.get(name)!.resolve(name),
    fail: (name: string) => ends.get(name)!.reject(new Error(name)),
  }
}

function isProblem(status: number) {
  return (error: unknown) => error instanceof Problem && error.status === status
}

test('lets few work at once, and the others in the order they came', async () => {
  const turns = new Turns({ atOnce: 2, maxWaiting: 10, maxWaitMs: 60_000 })
  const { begun, work, end, fail } = workshop()
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(name => turns.take(NEVER, work(name)))
  await nextLoop()
  assert.deepEqual(begun, ['a', 'b'])
  end('b')
  assert.equal(await b, 'b')
  await nextLoop()
  assert.deepEqual(begun, ['a', 'b', 'c'])
  // Work that fails passes its turn on, too.
  fail('a')
  await assert.rejects(a!, /a/)
  await nextLoop()
  assert.deepEqual(begun, ['a', 'b', 'c', 'd'])
  end('c')
  end('d')
  assert.deepEqual(await Promise.all([c, d]), ['c', 'd'])
})

test('refuses whoever would wait behind too many, or has waited for too long', async () => {
  const turns = new Turns({ atOnce: 1, maxWaiting: 1, maxWaitMs: 20 })
  const { begun, work, end } = workshop()
  const first = turns.take(NEVER, work('first'))
  const waits = turns.take(NEVER, work('waits'))
  const refused = await turns.take(NEVER, work('refused')).catch((error: unknown) => error)
  assert.ok(refused instanceof Problem)
  assert.deepEqual([refused.status, refused.headers], [503, { 'Retry-After': '2' }])
  await assert.rejects(waits, isProblem(503))
  end('first')
  await first
  // The turn of a caller that left is not lost.
  const next = turns.take(NEVER, work('next'))
  end('next')
  assert.equal(await next, 'next')
  assert.deepEqual(begun, ['first', 'next'])
})

test('does nothing for who has gone', async () => {
  const turns = new Turns({ atOnce: 1, maxWaiting: 2, maxWaitMs: 60_000 })
  const { begun, work, end } = workshop()
  const asker = new AbortController()
  const first = turns.take(NEVER, work('first'))
  const gone = turns.take(asker.signal, work('gone'))
  const stays = turns.take(NEVER, work('stays'))
  asker.abort()
  await assert.rejects(gone, isProblem(408))
  end('first')
  await first
  await nextLoop()
  end('stays')
  await stays
  assert.deepEqual(begun, ['first', 'stays'])
})
