import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { pino } from 'pino'
import { until } from '../../../../test/support/until.ts'
import { StoreBroken, StoreRefused, StoreUnavailable } from '../store/failures.ts'
import { StoreGate } from './store-gate.ts'

const BROKEN = new StoreBroken('MySQL at 127.0.0.1:3306: ER_NO_SUCH_TABLE (1146)', 'INSERT INTO post_views')
const PROBLEM = 'store: INSERT INTO post_views fails, and no retry mends it'

/** A gate before a store with these answers, and what it asked and logged. */
function gate({
  pings = [],
  rehearsals = [],
  onAsked = () => {},
}: {
  pings?: (Error | null)[]
  rehearsals?: (Error | null)[]
  onAsked?(): void
}) {
  const asked: string[] = []
  const logged: { event: string; step?: string }[] = []
  const refused: StoreRefused[] = []
  const answer = (question: string, answers: (Error | null)[]) => async () => {
    asked.push(question)
    onAsked()
    const error = answers.shift() ?? null
    if (error !== null) throw error
  }
  const it = new StoreGate({
    store: { ping: answer('ping', pings) },
    rehearse: answer('rehearse', rehearsals),
    brokenRetryMs: 1,
    log: pino(
      { base: null, messageKey: 'event' },
      { write: (line: string) => logged.push(JSON.parse(line)) },
    ),
    onRefused: error => refused.push(error),
  })
  return { it, asked, logged, refused }
}

test('opens at once where the store answers', async () => {
  const { it, asked, logged } = gate({})
  await it.passes(new AbortController().signal)
  assert.deepEqual([asked, logged, it.problem, it.isBroken], [['ping'], [], null, false])
})

test('stays shut as long as the store is broken, and tries by rehearsals alone', async () => {
  const { it, asked, logged } = gate({ rehearsals: [BROKEN, new StoreUnavailable('away'), BROKEN, null] })
  it.shut(BROKEN)
  assert.deepEqual([it.problem, it.isBroken], [PROBLEM, true])
  await it.passes(new AbortController().signal)
  assert.deepEqual(asked, ['rehearse', 'rehearse', 'rehearse', 'rehearse'])
  assert.deepEqual(
    logged.map(({ event, step }) => [event, step]),
    [
      ['store.broken', 'INSERT INTO post_views'],
      ['store.broken', 'INSERT INTO post_views'],
      ['store.lost', undefined],
      ['store.broken', 'INSERT INTO post_views'],
      ['store.back', undefined],
    ],
  )
  assert.deepEqual([it.problem, it.isBroken], [null, false])
})

test('is shut by a ping that no retry cures as well', async () => {
  const { it, asked } = gate({ pings: [BROKEN], rehearsals: [null] })
  await it.passes(new AbortController().signal)
  assert.deepEqual(asked, ['ping', 'rehearse'])
})

test('lets go of whoever waits no more, and has no word on a store that is closed meanwhile', async () => {
  const { it, asked } = gate({})
  it.shut(BROKEN)
  await it.passes(AbortSignal.abort())
  assert.deepEqual(asked, [])
  const stopping = new AbortController()
  const closed = gate({
    pings: [new StoreUnavailable('the store is closed')],
    onAsked: () => stopping.abort(),
  })
  await closed.it.passes(stopping.signal)
  assert.deepEqual([closed.asked, closed.logged], [['ping'], []])
})

test('tells of a store that refuses the process, and lets nobody through before that ends', async () => {
  const { it, refused } = gate({ rehearsals: [new StoreRefused('restart')] })
  it.shut(BROKEN)
  const ending = new AbortController()
  let isThrough = false
  const passed = it.passes(ending.signal).then(() => {
    isThrough = true
  })
  await until('the store has refused', () => refused.length === 1)
  await setImmediate()
  assert.equal(isThrough, false)
  ending.abort()
  await passed
  assert.equal(refused.length, 1)
})
