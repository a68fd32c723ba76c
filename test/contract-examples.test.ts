/** What `docs/contract.md` shows of times and ids is what the code makes of them. */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { decodeMessage, viewFromRequest } from '@postviews/client/src/index.ts'
import { BotList } from '../packages/analytics/src/derive/machines.ts'
import { CHANNEL_OF_MEDIUM } from '../packages/analytics/src/derive/sources.ts'
import { fieldsOf, utmOfUrl, Who } from '../packages/analytics/src/derive/who.ts'
import { Calendar } from '../packages/analytics/src/store/calendar.ts'
import { lineOf } from '../packages/analytics/src/store/clickhouse/row.ts'
import { refererHost, toRow } from '../packages/analytics/src/store/row.ts'
import { expectedOf, scoreOf } from '../packages/analytics/src/store/trending.ts'
import { PHP_ABBREVIATIONS } from '../packages/client/src/time.ts'

const contract = await readFile(new URL('../docs/contract.md', import.meta.url), 'utf8')

/** The cells of each row of the table that has this heading. */
function tableOf(heading: string): string[][] {
  const [, table] = contract.split(`\n${heading}\n`)
  assert.ok(table !== undefined, heading)
  const lines = table.split('\n\n')[0]!.split('\n').slice(1)
  return lines.map(line =>
    line
      .split('|')
      .slice(1, -1)
      .map(cell => cell.trim()),
  )
}

/** The code in a cell. */
const codeIn = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code!)

test('the examples of times count as of when they say, or are what they say', () => {
  const options = { receivedAt: Date.parse('2026-11-21T12:35:00Z') / 1_000, maxAgeSeconds: 30 * 86_400 }
  const rows = tableOf('| Event | AMQP | Counts as of, or is |')
  assert.ok(rows.length >= 20)
  for (const [event, amqp, expected] of rows) {
    const [properties = '{}'] = codeIn(amqp!)
    const { views, invalid } = decodeMessage(Buffer.from(codeIn(event!)[0]!), JSON.parse(properties), options)
    const [view] = views
    const outcome = view === undefined ? invalid[0]!.reason : new Date(view.viewedAt * 1_000).toISOString()
    assert.equal(outcome.replace('.000Z', 'Z'), expected, `${event} ${amqp}`)
  }
})

test('the examples of what is sent again are as many rows on ClickHouse as they say', () => {
  const rows = tableOf('| First | AMQP | Again | AMQP | Views |')
  assert.equal(rows.length, 8)
  for (const [event, amqp, againEvent, againAmqp, expected] of rows) {
    const first = [codeIn(event!)[0]!, codeIn(amqp!)[0] ?? '{}'] as const
    const again = [codeIn(againEvent!)[0] ?? first[0], codeIn(againAmqp!)[0] ?? first[1]] as const
    const keys = [keyOf(...first, '2026-11-21T13:50:00Z'), keyOf(...again, '2026-11-22T02:00:00Z')]
    assert.equal(String(new Set(keys).size), expected, `${event} ${amqp} ${againEvent} ${againAmqp}`)
  }
})

/** What a row is known by on ClickHouse. */
function keyOf(event: string, amqp: string, received: string): string {
  const receivedAt = Date.parse(received) / 1_000
  const { message_id, ...properties } = JSON.parse(amqp)
  const options = { receivedAt, maxAgeSeconds: 30 * 86_400 }
  const { views } = decodeMessage(Buffer.from(event), { ...properties, messageId: message_id }, options)
  const context = {
    calendar: new Calendar('UTC', 24),
    who: new Who({ countries: null, ownHosts: [] }),
    uniqueBy: 'network',
    ipStorage: 'full',
    keyOf: () => '5a'.repeat(32),
  } as const
  const line = JSON.parse(lineOf(toRow(views[0]!, receivedAt, context), views[0]!.ownTime, 1))
  return line.slice(0, 3).join()
}

test('the examples of posts that stand out have the scores that they say', () => {
  const rows = tableOf('| last_24h | usual_24h | site_last_24h | site_usual_24h | expected | score | |')
  assert.equal(rows.length, 6)
  for (const [last, usual, siteLast, siteUsual, expected, score, why] of rows) {
    const [, posts, each] = /(\d+) posts usually have (\d+) each/.exec(why!) ?? []
    const isNew = usual === 'null'
    if (isNew) assert.equal(Number(posts) * Number(each), Number(siteUsual))
    const compared = {
      last: Number(last),
      usual: Number(isNew ? each : usual),
      part: isNew ? 0 : Number(usual),
      siteLast: Number(siteLast),
      siteUsual: Number(siteUsual),
    }
    assert.deepEqual([expectedOf(compared).toFixed(2), scoreOf(compared).toFixed(2)], [expected, score], why)
  }
})

test('every abbreviation that is known is listed, with its offset', () => {
  const listed = tableOf('| Abbreviations | Offset |').flatMap(([names, offset]) => {
    const [, sign, hours, minutes] = /^([+-])(\d\d):(\d\d)$/.exec(offset!)!
    const seconds = (Number(hours) * 60 + Number(minutes)) * 60
    return codeIn(names!).map(name => [name, sign === '-' ? -seconds : seconds])
  })
  assert.deepEqual(Object.fromEntries(listed), Object.fromEntries(PHP_ABBREVIATIONS))
})

test('the requests that are no view are none for viewFromRequest', () => {
  const socket = { remoteAddress: '203.0.113.7' }
  const isView = (method: string, headers: Record<string, string>) =>
    viewFromRequest({ method, headers, socket }, { post_uuid: 7 }) !== null
  assert.ok(isView('GET', {}))
  const requests = tableOf('| Request | Sent by |').flatMap(([request]) => {
    // `Sec-Purpose` with `prefetch` (also `prefetch;prerender`)
    const named = /^`([\w-]+)` with/.exec(request!)?.[1]
    return codeIn(request!)
      .filter(code => code !== named)
      .map(code => (code === 'HEAD' || code.includes(':') ? code : `${named}: ${code}`))
  })
  assert.equal(requests.length, 6)
  for (const request of requests) {
    const [name, value] = request.split(': ')
    const shown = value === undefined ? isView(name!, {}) : isView('GET', { [name!.toLowerCase()]: value })
    assert.equal(shown, false, request)
  }
})

test('the examples of user agents are bots, or are not', () => {
  const bots = new BotList()
  const rows = tableOf('| user_agent | bot |')
  assert.equal(rows.length, 7)
  for (const [cell, expected] of rows) {
    const agents = cell!.startsWith('`') ? codeIn(cell!) : ['', null]
    for (const agent of agents) assert.equal(bots.isBot(agent) ? 'yes' : 'no', expected, cell)
  }
})

test('the examples of addresses and referers have the source, channel and campaign that they say', () => {
  const who = new Who({ countries: null, ownHosts: [] })
  const rows = tableOf('| url | referer | source | channel | campaign |')
  assert.equal(rows.length, 7)
  for (const [url, referer, ...told] of rows) {
    const from = codeIn(referer!)[0] ?? null
    const origin = who.originOf(from, refererHost(from), utmOfUrl(codeIn(url!)[0]!))
    const [channel, source, campaign] = fieldsOf(origin).map(field => field || 'none')
    assert.deepEqual([source, codeIn(told[1]!)[0], campaign], [told[0], channel, told[2]], url)
  }
})

test('the words of utm_medium are those that name a channel', () => {
  const rows = tableOf('| `utm_medium` | Channel |')
  assert.equal(rows.length, 7)
  const words = rows.flatMap(([cell, channel]) => codeIn(cell!).map(word => [word, codeIn(channel!)[0]]))
  assert.deepEqual(
    new Map(words as [string, string][]),
    new Map([...CHANNEL_OF_MEDIUM, ['paid', 'campaign']]),
  )
})
