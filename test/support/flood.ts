/**
 * Gives a cache or buffer more than it may keep, and prints how many bytes of heap it then holds. Runs as its own process, with
 * `--expose-gc` and the name of a flood.
 */

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createStats, createTracker, decodeMessage, type View } from '@postviews/client/src/index.ts'
import { Answers, Availability } from '../../packages/admin/src/answers.ts'
import { createLog as createPanelLog } from '../../packages/admin/src/log.ts'
import { createPosts } from '../../packages/admin/src/posts.ts'
import { Who } from '../../packages/analytics/src/derive/who.ts'
import { AnswerCache } from '../../packages/analytics/src/store/answer-cache.ts'
import { Calendar } from '../../packages/analytics/src/store/calendar.ts'
import { toRow } from '../../packages/analytics/src/store/row.ts'

/** Each returns an object that refers to the flooded part, to keep it alive while the heap is measured. */
const FLOODS: Record<string, () => unknown> = {
  agents: () => {
    const who = new Who({ countries: null, ownHosts: [] })
    for (let n = 0; n < 4_000; n++) rowsOf(decodedLong(n), who)
    return who
  },

  'agents as long as real ones': () => {
    const who = new Who({ countries: null, ownHosts: [] })
    for (let n = 0; n < 40_000; n++)
      who.agentOf(`Mozilla/5.0 (X11; Linux x86_64) made up, number ${n}`.padEnd(120))
    return who
  },

  'views in hand': () => Array.from({ length: 1_000 }, (_, n) => decodedLong(n)),

  tracker: () => {
    const tracker = createTracker({
      url: 'amqp://127.0.0.1:1',
      maxEventsPerMessage: 1,
      log: () => {},
    })
    for (let n = 0; n < 4_000; n++) {
      const page = `${idOf(n)} ${String(n).padEnd(100_000, 'p')}`
      tracker.trackView({ event_id: page.slice(0, 36), post_uuid: page.slice(37, 57), user_agent: page })
    }
    return tracker
  },

  stats: async () => {
    const url = await serve(question => ({ asked: question, padding: 'p'.repeat(100_000) }))
    const stats = createStats({ baseUrl: url, key: 'key' })
    for (let n = 1; n <= 1_000; n++) await stats.postViews(n)
    return stats
  },

  'names of posts': async () => {
    const long = (text: string) => `${text} ${'l'.repeat(5_000)}`
    const url = await serve(question => {
      const ids = new URLSearchParams(question.split('?')[1]).get('ids')!.split(',')
      return { posts: ids.map(id => ({ id, title: long(id), author: long(id), url: `http://${long(id)}` })) }
    })
    const posts = createPosts({ url, log: createPanelLog('silent') })
    for (let n = 0; n < 100; n++) {
      const { from } = await posts.names(Array.from({ length: 50 }, (_, index) => `post-${n * 50 + index}`))
      if (from !== 'known') throw new Error('the flood did not reach the panel')
    }
    return posts
  },

  'answers of the panel': async () => {
    const answers = new Answers(new Availability(createPanelLog('silent')))
    for (let n = 0; n < 200; n++) {
      const data = Array.from({ length: 4_000 }, (_, day) => ({ date: `day ${day} of ${n}`, views: day }))
      await answers.ask(`/?q=${n}`, async () => ({ data, asOf: '2026-11-21T12:34:56Z' }))
    }
    return answers
  },

  'answers of the API': async () => {
    const held = new AnswerCache()
    const question = (n: number) => ['30d', '2026-10-22', '2026-11-21', 100, n].join(' ')
    const posts = (n: number) =>
      Array.from({ length: 100 }, (_, index) => ({
        post_uuid: `post ${n} ${index}`,
        views: 1,
        unique_views: 1,
      }))
    for (let n = 0; n < 5_000; n++) await held.get(question(n), 4_000, async () => ({ posts: posts(n) }))
    return held
  },
}

function idOf(n: number): string {
  return `0197c1f0-0000-7000-8000-${String(n).padStart(12, '0')}`
}

/** A view from a message of more than 100 KB. All its texts are longer than what is kept of them. */
function decodedLong(n: number): View[] {
  const long = (text: string) => `${text} ${n} `.padEnd(50_000, 'x')
  const body = JSON.stringify({
    event_id: idOf(n),
    post_uuid: `post-of-the-flood-${n}`,
    ip: '203.0.113.7',
    user_agent: long('Mozilla/5.0'),
    referer: long(`https://host-${n}.example/`),
  })
  const options = { receivedAt: Date.now() / 1_000, maxAgeSeconds: 86_400 }
  return decodeMessage(Buffer.from(body), {}, options).views
}

const calendar = new Calendar('UTC', 24)

function rowsOf(views: View[], who: Who) {
  const context = { calendar, who, uniqueBy: 'ip', ipStorage: 'full', keyOf: () => 'ab'.repeat(32) } as const
  return views.map(view => toRow(view, view.viewedAt, context))
}

/** Answers every request with JSON and its own ETag. */
async function serve(answer: (question: string) => unknown): Promise<string> {
  const server = createServer(({ url = '' }, response) => {
    response.setHeader('ETag', `W/"${url}"`)
    response.end(JSON.stringify(answer(url)))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function heapBytes(): number {
  // Twice: the second run frees what the first one finalized.
  for (let times = 0; times < 2; times++) globalThis.gc!()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

const flood = FLOODS[process.argv[2]!]!
const held: unknown[] = []
const before = heapBytes()
held.push(await flood())
const bytes = heapBytes() - before
console.log(JSON.stringify({ parts: held.length, bytes }))
process.exit()
