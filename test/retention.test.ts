/** Retention as consumers run it, on a real store and a real broker: when it last succeeded. */

import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { describe, type TestContext, test } from 'node:test'
import { DEAD_QUEUE, declareTopology } from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import { purgeOldDead } from '../packages/analytics/src/ingest/dead.ts'
import { scheduleRetention } from '../packages/analytics/src/ingest/retention.ts'
import { createLog } from '../packages/analytics/src/log.ts'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { samples, startApi } from './support/api.ts'
import { messageCount } from './support/published.ts'

const NO_BROKER = 'amqp://127.0.0.1:1'
const FIRST_AFTER_MS = 60_000

/** A store and its metrics, and `run`: one run of retention, as if its time had come. */
async function retention(t: TestContext) {
  const { app, store, metrics, databasePath } = await startApi(t)
  const log = createLog('silent')
  const options = { store, rawRetentionDays: 90, deadRetentionDays: 30, maxAgeSeconds: 86_400, metrics, log }
  return {
    databasePath,
    async run(amqpUrl: string, afterMs = FIRST_AFTER_MS) {
      t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] })
      const schedule = scheduleRetention({ ...options, amqpUrls: [amqpUrl] })
      t.mock.timers.tick(afterMs)
      t.mock.timers.reset()
      await schedule.stop()
    },
    /** Unix seconds; null where it is not told. */
    async lastSuccess() {
      const name = 'postviews_retention_last_success_timestamp_seconds'
      const { '': value } = samples((await app.inject('/metrics')).body, name)
      return value === undefined ? null : Number(value)
    },
  }
}

test('tells when retention last went well, and nothing before it has', async t => {
  const { run, lastSuccess } = await retention(t)
  const { url } = await testRabbitmq()
  await run(url, FIRST_AFTER_MS - 1)
  assert.equal(await lastSuccess(), null)
  const before = Math.floor(Date.now() / 1_000)
  await run(url)
  const first = await lastSuccess()
  assert.ok(first !== null && first >= before && first <= Date.now() / 1_000, String(first))
})

test('does not tell of retention that went half way: rows are pruned, the broker is away', async t => {
  const { run, lastSuccess } = await retention(t)
  await run(NO_BROKER)
  assert.equal(await lastSuccess(), null)
})

test('tells nothing new of retention where another process is at it', async t => {
  const { run, lastSuccess, databasePath } = await retention(t)
  const { url } = await testRabbitmq()
  const other = new DatabaseSync(databasePath)
  const soon = Math.floor(Date.now() / 1_000) + 600
  other.exec(`INSERT INTO post_view_leases (name, holder, expires_at) VALUES ('prune', 'x', ${soon})`)
  await run(url)
  assert.equal(await lastSuccess(), null)
  other.exec('DELETE FROM post_view_leases')
  other.close()
  await run(url)
  assert.notEqual(await lastSuccess(), null)
})

test('old dead letters go from the head of their queue, and the others are there for everybody meanwhile', async t => {
  const OLD = process.env['FULL'] === '1' ? 100_000 : 1_500
  const YOUNG = process.env['FULL'] === '1' ? 40_000 : 1_500
  const UNKNOWN = 350
  const { url } = await testRabbitmq()
  const connection = await connect(url)
  t.after(() => connection.close())
  await declareTopology(connection, [DEAD_QUEUE])
  const channel = await connection.createConfirmChannel()
  const put = (at: string | undefined) =>
    channel.sendToQueue(DEAD_QUEUE, Buffer.from('{}'), { persistent: true, headers: { 'set-aside-at': at } })
  // Of these nobody knows how old they are: they stay, and what is behind them is looked at all the same.
  for (let n = 0; n < UNKNOWN; n++) put(undefined)
  for (let n = 0; n < OLD; n++) put('2026-01-01T00:00:00Z')
  for (let n = 0; n < YOUNG; n++) put('2026-03-01T00:00:00Z')
  await channel.waitForConfirms()

  let held = 0
  let mostHeld = 0
  let least = Number.POSITIVE_INFINITY
  let leastForOthers = Number.POSITIVE_INFINITY
  let isOver = false
  const watching = (async () => {
    while (!isOver) {
      const before = held
      const ready = await messageCount(url, DEAD_QUEUE)
      // What is given back is in nobody's count until the broker has taken it.
      if (isOver) break
      least = Math.min(least, ready + Math.max(before, held))
      leastForOthers = Math.min(leastForOthers, ready)
    }
  })()
  const purged = await purgeOldDead([url], Date.parse('2026-02-01'), messages => {
    held = messages
    mostHeld = Math.max(mostHeld, messages)
    isOver ||= messages === 0
  })
  assert.equal(await messageCount(url, DEAD_QUEUE), UNKNOWN + YOUNG)
  await watching
  assert.equal(purged, OLD)
  assert.ok(mostHeld <= UNKNOWN + 500, `once it held ${mostHeld}`)
  // A window of them is on its way to be looked at.
  assert.ok(least >= UNKNOWN + YOUNG - 100, `once there seemed to be ${least}`)
  // Others do not know what retention holds.
  assert.ok(leastForOthers >= YOUNG - 500, `once there seemed to be ${leastForOthers}`)
  assert.equal(held, 0)
})

describe('what a priority puts before older dead letters, or behind younger ones', () => {
  const OLD = '2026-01-01T00:00:00Z'
  const YOUNG = 300

  /** Old ones, and young ones that came after them; RabbitMQ 4 delivers each priority by itself, and takes none for 4. */
  async function queueOf(t: TestContext, old: number | undefined, young: number | undefined) {
    const { url } = await testRabbitmq()
    const connection = await connect(url)
    t.after(() => connection.close())
    await declareTopology(connection, [DEAD_QUEUE])
    const channel = await connection.createConfirmChannel()
    const put = (count: number, at: string, priority: number | undefined) => {
      const headers = { 'set-aside-at': at }
      const options = { persistent: true, headers, ...(priority !== undefined && { priority }) }
      for (let n = 0; n < count; n++) channel.sendToQueue(DEAD_QUEUE, Buffer.from('{}'), options)
    }
    put(50, OLD, old)
    put(YOUNG, new Date().toISOString(), young)
    await channel.waitForConfirms()
    return url
  }

  test('does not hide the old ones', async t => {
    const url = await queueOf(t, undefined, 9)
    assert.equal(await purgeOldDead([url], Date.parse('2026-02-01'), () => {}), 50)
    assert.equal(await messageCount(url, DEAD_QUEUE), YOUNG)
  })

  test('is looked at once a day', async t => {
    const url = await queueOf(t, 0, undefined)
    const { run } = await retention(t)
    await run(url)
    assert.equal(await messageCount(url, DEAD_QUEUE), YOUNG)
  })
})
