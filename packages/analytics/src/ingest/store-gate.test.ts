import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { StoreBroken, StoreRefused, StoreUnavailable } from '../store/store.ts'
import { StoreGate } from './store-gate.ts'

const BROKEN = new StoreBroken('MySQL at 127.0.0.1:3306: ER_NO_SUCH_TABLE (1146)', 'INSERT INTO post_views')
const PROBLEM = 'store: INSERT INTO post_views fails, and no retry mends it'

/** A gate before a store that answers each question so, and what it asked and logged. */
function gate({ pings = [], rehearsals = [] }: { pings?: (Error | null)[]; rehearsals?: (Error | null)[] }) {
  const asked: string[] = []
  const logged: { event: string; step?: string }[] = []
  const refused: StoreRefused[] = []
  const answer = (question: string, answers: (Error | null)[]) => async () => {
    asked.push(question)
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

test('lets go of whoever waits no more, and tells of a store that refuses the process', async () => {
  const { it, asked } = gate({})
  it.shut(BROKEN)
  await it.passes(AbortSignal.abort())
  assert.deepEqual(asked, [])
  const refusing = gate({ rehearsals: [new StoreRefused('restart')] })
  refusing.it.shut(BROKEN)
  await refusing.it.passes(new AbortController().signal)
  assert.equal(refusing.refused.length, 1)
})
