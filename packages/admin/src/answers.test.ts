import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StatsBadRequest, StatsRefused, StatsUnavailable } from '@postviews/client/src/index.ts'
import { Answers, Availability } from './answers.ts'
import { createLog } from './log.ts'

function testAnswers() {
  let now = Date.parse('2026-11-21T12:00:00Z')
  const availability = new Availability(createLog('silent'), () => now)
  return {
    availability,
    answers: new Answers<number>(availability, () => now),
    later: (seconds: number) => {
      now += seconds * 1_000
    },
  }
}

function loaded(data: number) {
  return async () => ({ data, asOf: `as of ${data}` })
}

async function lost(): Promise<never> {
  throw new StatsUnavailable('away')
}

test('gives one answer to all who ask the same at once, and for a moment after', async () => {
  const { answers, later } = testAnswers()
  let asked = 0
  const load = async () => ({ data: ++asked, asOf: '' })
  const [first, second] = await Promise.all([answers.ask('a', load), answers.ask('a', load)])
  assert.equal(first, second)
  assert.equal((await answers.ask('a', load)).data, 1)
  assert.equal((await answers.ask('b', load)).data, 2)
  later(1)
  assert.equal((await answers.ask('a', load)).data, 3)
})

test('keeps what it knew, and since when it knows no more', async () => {
  const { answers, later } = testAnswers()
  await answers.ask('a', loaded(1))
  later(1)
  const since = '2026-11-21T12:00:01.000Z'
  const old = { data: 1, asOf: 'as of 1', unavailable: { since, reason: 'away' } }
  assert.deepEqual(await answers.ask('a', lost), old)
  later(60)
  assert.deepEqual(await answers.ask('a', lost), old)
  assert.deepEqual(await answers.ask('b', lost), {
    data: null,
    asOf: null,
    unavailable: { since, reason: 'away' },
  })
  assert.equal((await answers.ask('a', loaded(2))).unavailable, null)
})

test('remembers since when one question is not answered, though others are', async () => {
  const { answers, later } = testAnswers()
  await answers.ask('a', loaded(1))
  later(1)
  await answers.ask('a', lost)
  later(60)
  await answers.ask('b', loaded(2))
  const { unavailable } = await answers.ask('a', lost)
  assert.equal(unavailable?.since, '2026-11-21T12:00:01.000Z')
})

test('tells a refused key from an absence, and anything else is thrown', async () => {
  const { answers } = testAnswers()
  const refused = await answers.ask('a', async () => {
    throw new StatsRefused('401')
  })
  assert.equal(refused.unavailable?.reason, 'refused')
  const wrong = async () => {
    throw new StatsBadRequest('400')
  }
  await assert.rejects(answers.ask('b', wrong), StatsBadRequest)
})

test('learns since when Analytics is away though nobody looks', async () => {
  const { answers, availability, later } = testAnswers()
  await availability.check(lost)
  later(3_600)
  assert.equal((await answers.ask('a', lost)).unavailable?.since, '2026-11-21T12:00:00.000Z')
  await availability.check(async () => {
    throw new StatsBadRequest('whatever answers is no Analytics')
  })
  await availability.check(async () => undefined)
  later(1)
  assert.equal((await answers.ask('a', lost)).unavailable?.since, '2026-11-21T13:00:01.000Z')
})
