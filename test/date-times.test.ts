/** The times that PHP's `json_encode` makes of a DateTime are read as PHP means them. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { decodeMessage, type PhpDateTime, type ZoneTime } from '@postviews/client/src/index.ts'
import { PHP_ABBREVIATIONS } from '../packages/client/src/time.ts'

const SECONDS = ['2026-01-15 23:59:59.999999', '2026-07-15 00:00:00']

interface Answer {
  date_times: { time: PhpDateTime; seconds: number }[]
  /** The offsets of each abbreviation. */
  written: Record<string, number[]>
}

async function askPhp(texts: readonly string[]): Promise<Answer> {
  const running = promisify(execFile)('php', ['date-times.php'], {
    cwd: join(import.meta.dirname, 'publishers'),
  })
  running.child.stdin!.end(JSON.stringify(texts))
  return JSON.parse((await running).stdout)
}

/** When a view with that time was, through the whole of the contract. */
function viewedAt(timestamp: PhpDateTime, zoneTime?: ZoneTime): number | undefined {
  const receivedAt = Date.UTC(2026, 7) / 1_000
  const options = { receivedAt, maxAgeSeconds: 365 * 86_400, ...(zoneTime === undefined ? {} : { zoneTime }) }
  const { views, invalid } = decodeMessage(
    Buffer.from(JSON.stringify({ post_id: 7, timestamp })),
    {},
    options,
  )
  assert.ok(views.length === 1 || invalid[0]?.reason === 'bad_time')
  return views[0]?.viewedAt
}

test('with an offset they are the same moment', async () => {
  const offsets = ['+00:00', '+02:00', '-05:30', '+1345', 'GMT+3', '-12']
  const { date_times } = await askPhp(SECONDS.flatMap(second => offsets.map(offset => `${second} ${offset}`)))
  assert.equal(date_times.length, 12)
  for (const { time, seconds } of date_times) {
    assert.equal(time.timezone_type, 1)
    assert.equal(viewedAt(time), seconds, JSON.stringify(time))
  }
})

test('with an abbreviation of the list they are the same moment, and PHP means no other offset by it', async () => {
  const names = [...PHP_ABBREVIATIONS.keys()]
  // In lower case even UTC is an abbreviation.
  const texts = SECONDS.flatMap(second => names.map(name => `${second} ${name.toLowerCase()}`))
  const { date_times, written } = await askPhp(texts)
  assert.equal(date_times.length, texts.length)
  for (const { time, seconds } of date_times) {
    assert.equal(time.timezone_type, 2)
    assert.equal(viewedAt(time), seconds, JSON.stringify(time))
  }
  for (const [name, offset] of PHP_ABBREVIATIONS)
    if (name !== 'Z') assert.deepEqual(written[name], [offset], name)
})

test('with an abbreviation that PHP uses for several offsets they are bad_time', async () => {
  const { date_times, written } = await askPhp(
    ['CST', 'IST', 'PST', 'KST'].map(name => `${SECONDS[0]} ${name}`),
  )
  for (const { time } of date_times) {
    assert.equal(time.timezone_type, 2)
    assert.equal(viewedAt(time), undefined, time.timezone)
  }
  for (const name of ['CST', 'IST', 'PST']) assert.ok(written[name]!.length > 1, name)
})

test('in UTC they are the same moment, and in another zone what its rules say', async () => {
  const zones = ['UTC', 'Etc/UTC', 'Etc/GMT', 'Europe/Berlin']
  const { date_times } = await askPhp(SECONDS.flatMap(second => zones.map(zone => `${second} ${zone}`)))
  for (const { time, seconds } of date_times) {
    assert.equal(time.timezone_type, 3)
    const isUtc = time.timezone !== 'Europe/Berlin'
    assert.equal(viewedAt(time), isUtc ? seconds : undefined, JSON.stringify(time))
    const asked: unknown[] = []
    const rules: ZoneTime = (zone, localSeconds) => {
      asked.push(zone)
      return localSeconds - (localSeconds < Date.UTC(2026, 2, 29) / 1_000 ? 3_600 : 7_200)
    }
    assert.equal(viewedAt(time, rules), seconds)
    assert.deepEqual(asked, isUtc ? [] : [time.timezone])
  }
})
