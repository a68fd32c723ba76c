/**
 * What packages/laravel publishes with, under load and faults: round trips, a broker that is away for many processes, one that takes
 * nothing, and more views than are remembered.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { startRabbitmq } from '../tools/stack/rabbitmq.ts'
import {
  BY_ID,
  BY_UUID,
  restFolder,
  restsIn,
  showPages,
  startSilent,
  WAITED_FOR_NOTHING_MS,
} from './support/php-pages.ts'
import { eventsOf, takeMessages } from './support/published.ts'
import { declareQueues } from './support/system.ts'
import { startTcpProxy } from './support/tcp-proxy.ts'
import { until } from './support/until.ts'

test('drops nothing of ten thousand views while the broker takes them, and tells one sum when it does not', async t => {
  const broker = await testRabbitmq()
  await declareQueues(broker.url)
  const many = Array.from({ length: 10_000 }, () => BY_ID)
  const taken = await showPages(broker.url, { pages: [many] })
  assert.deepEqual([taken.log, taken.lastWords], [[], ''])
  assert.equal(eventsOf(await takeMessages(broker.url)).length, 10_000)

  const { url } = await startSilent(t)
  const { log, lastWords } = await showPages(url, { pages: [many] })
  assert.deepEqual(
    log.filter(([event]) => event === 'view.dropped'),
    [['view.dropped', '9000 views: more than 1000 are waiting, and the broker does not accept them']],
  )
  assert.match(lastWords, /^view\.dropped: 1000 views/)
})

test('takes two round trips for a view of a page: one for TCP, one for all the rest', async t => {
  const broker = await testRabbitmq()
  await declareQueues(broker.url)
  const proxy = await startTcpProxy(Number(new URL(broker.url).port))
  t.after(() => proxy.close())
  // Each way: a round trip of 0.3 s. TCP itself ends at the proxy.
  proxy.delay(150)
  const { log, pages } = await showPages(proxy.through(broker.url), { pages: [[BY_ID], [BY_UUID]] })
  assert.deepEqual(log, [])
  // A timer may be a millisecond early.
  for (const { flush_ms } of pages) assert.ok(flush_ms >= 298 && flush_ms < 550, `${flush_ms} ms`)
})

test('leaves a kept connection that was idle for long, which the network may have forgotten', async t => {
  const broker = await testRabbitmq()
  await declareQueues(broker.url)
  const proxy = await startTcpProxy(Number(new URL(broker.url).port))
  t.after(() => proxy.close())
  const pages = [[BY_ID], [BY_ID], [BY_ID]]
  const kept = await showPages(proxy.through(broker.url), { pages, pause_ms: 20 })
  assert.deepEqual([kept.log, proxy.taken], [[], 1])
  const left = await showPages(proxy.through(broker.url), { pages, pause_ms: 20, idle_seconds: 0.01 })
  assert.deepEqual([left.log, proxy.taken], [[], 4])
  assert.equal(eventsOf(await takeMessages(broker.url)).length, 6)
})

test('lets one process look whether the broker is back, and the others wait for what it finds', async t => {
  const folder = await restFolder(t)
  const silent = await startSilent(t)
  const oneView = { pages: [[BY_ID]], rest_folder: folder, rest_seconds: 1 }
  await showPages(silent.url, oneView)
  const before = silent.taken()
  await until('the rest is over', async () => {
    await showPages(silent.url, oneView)
    return silent.taken() > before
  })
  const round = silent.taken()
  // Each of them looks for three seconds: for all of a rest, and for the beginning of the next.
  const looking = {
    pages: Array.from({ length: 15 }, () => [BY_ID]),
    rest_folder: folder,
    rest_seconds: 1,
    pause_ms: 100,
  }
  const runs = await Promise.all(Array.from({ length: 8 }, () => showPages(silent.url, looking)))
  const rounds = silent.taken() - round
  assert.ok(rounds >= 1 && rounds <= 3, `${rounds} looked`)
  const triedIn = runs.flatMap(({ pages }) => pages.map(({ flush_ms }) => flush_ms)).filter(ms => ms > 100)
  assert.ok(triedIn.length <= 3, `${triedIn.length} pages waited`)
})

test('passes over a node of a cluster that another process has seen hanging', async t => {
  const broker = await testRabbitmq()
  await declareQueues(broker.url)
  const folder = await restFolder(t)
  const silent = await startSilent(t)
  const urls = `${silent.url}${new URL(broker.url).pathname},${broker.url}`
  await showPages(urls, { pages: [[BY_ID]], rest_folder: folder })
  const next = await showPages(urls, { pages: [[BY_UUID]], rest_folder: folder })
  assert.equal(silent.taken(), 1)
  assert.ok(next.pages[0]!.flush_ms < WAITED_FOR_NOTHING_MS, `${next.pages[0]!.flush_ms} ms`)
  assert.deepEqual(next.log, [])
  assert.equal(eventsOf(await takeMessages(broker.url)).length, 2)
})

test('says at once that an alarm of the broker is on, and each view is counted once when it is over', async t => {
  const broker = await startRabbitmq()
  t.after(() => broker.stop())
  const { url } = await broker.vhost()
  await declareQueues(url)
  const folder = await restFolder(t)
  await broker.ctl('set_vm_memory_high_watermark', '0')
  const running = showPages(url, {
    pages: [[BY_ID], ...Array.from({ length: 60 }, () => [])],
    rest_folder: folder,
    rest_seconds: 1,
    pause_ms: 100,
  })
  await until('it has failed', () => restsIn(folder).length === 1)
  await broker.ctl('set_vm_memory_high_watermark', '0.6')
  const { pages, log, lastWords } = await running
  assert.ok(pages[0]!.flush_ms < WAITED_FOR_NOTHING_MS, `${pages[0]!.flush_ms} ms`)
  assert.deepEqual(log[0], ['broker.lost', 'the broker blocks publishers: it is short of memory or disk'])
  assert.equal(lastWords, '')
  const ids = eventsOf(await takeMessages(url)).map(({ event_id }) => event_id)
  assert.ok(ids.length >= 1)
  assert.equal(new Set(ids).size, 1)
})
