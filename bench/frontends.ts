/** Whether the panel's server and the sample blog are fast enough: one figure each. */

import { createTracker } from '@postviews/client/src/index.ts'
import { loadPosts } from '../examples/blog/src/posts.ts'
import { publishAll } from '../tools/life/publish.ts'
import { historyViews } from '../tools/life/visits.ts'
import type { Bench } from './bench.ts'
import { sqliteEngine, withDatabase } from './databases.ts'
import { load } from './load.ts'
import { cpuSeconds, type Latencies, latenciesOf, summarize } from './measure.ts'
import { part } from './part.ts'
import { API_KEY, type RunningProcess, startProcess, startService } from './processes.ts'
import { type Turn, takeTurns } from './rounds.ts'
import { milliseconds, table, thousands, withRange } from './tables.ts'

const SECONDS = { full: 5, quick: 2 }
const CONNECTIONS = 8
const VIEWS = { full: 80_000, quick: 10_000 }
const DAYS = 25
const PASSWORD = 'the password of the benchmark'

interface FrontendRun {
  requestsPerSecond: number
  /** Per second of CPU time of the server alone. */
  requestsPerCpuSecond: number
  latencies: Latencies
}

interface FrontendsMeasured {
  pages: { title: string; runs: FrontendRun[] }[]
}

export const FRONTENDS = part<FrontendsMeasured>({
  name: 'frontends',
  help: 'requests a second of the panel’s overview and of a page of the blog',

  measure(bench) {
    return withDatabase(sqliteEngine(bench.folder), async database => {
      const { url: amqpUrl } = await bench.broker()
      const { folder } = bench
      const running: RunningProcess[] = []
      const start = async (starting: Promise<RunningProcess>) => {
        const started = await starting
        running.unshift(started)
        return started
      }
      try {
        const service = await start(startService({ amqpUrl, databaseUrl: database.url, folder }))
        const shared = { INTERNAL_API_KEY: API_KEY, ANALYTICS_URL: service.url }
        const sampleDay = new Date().toISOString().slice(0, 10)
        const blog = await start(
          startProcess({
            name: 'the blog',
            command: ['examples/blog/src/main.ts'],
            env: {
              ...shared,
              AMQP_URL: amqpUrl,
              SAMPLE_DAY: sampleDay,
            },
            ready: '/',
            folder,
          }),
        )
        const panel = await start(
          startProcess({
            name: 'the panel',
            command: ['packages/admin/src/main.ts'],
            env: { ...shared, ADMIN_PASSWORD: PASSWORD, POSTS_URL: `${blog.url}/posts.json` },
            ready: '/livez',
            folder,
          }),
        )
        await publishHistory(bench, amqpUrl, sampleDay)
        const post = loadPosts(sampleDay)[0]!
        const cookie = await signIn(panel.url)
        const turns = [
          turn(bench, 'panel', 'panel, data of the overview', panel, '/data', { cookie }),
          turn(bench, 'blog', 'blog, page of a post', blog, `/posts/${post.slug}`, {}),
        ]
        const runs = await takeTurns(
          bench,
          turns,
          ({ requestsPerSecond, latencies }) =>
            `${thousands(requestsPerSecond)} requests/s, p99 ${milliseconds(latencies.p99Ms)}`,
        )
        return { pages: turns.map(({ name, title }) => ({ title, runs: runs.get(name)! })) }
      } finally {
        for (const one of running) await one.stop()
      }
    })
  },

  show: ({ pages }) => ({
    tables: {
      frontends: table(
        [`${CONNECTIONS} connections`, 'requests/s', 'per CPU second of its own', 'p50', 'p99'],
        pages.map(({ title, runs }) => {
          const ofRuns = (value: (run: FrontendRun) => number) => summarize(runs.map(value))
          return [
            title,
            withRange(
              ofRuns(run => run.requestsPerSecond),
              thousands,
            ),
            thousands(ofRuns(run => run.requestsPerCpuSecond).median),
            milliseconds(ofRuns(run => run.latencies.p50Ms).median),
            milliseconds(ofRuns(run => run.latencies.p99Ms).median),
          ]
        }),
      ),
    },
    figures: {},
  }),
})

function turn(
  bench: Bench,
  name: string,
  title: string,
  server: RunningProcess,
  path: string,
  headers: Record<string, string>,
): Turn<FrontendRun> {
  return {
    name,
    title,
    async run() {
      const before = cpuSeconds(server.pid)
      const { requestsPerSecond, tookMs } = await load({
        nextUrl: () => server.url + path,
        headers,
        connections: CONNECTIONS,
        seconds: bench.quick ? SECONDS.quick : SECONDS.full,
      })
      const requestsPerCpuSecond = tookMs.length / (cpuSeconds(server.pid) - before)
      return { requestsPerSecond, requestsPerCpuSecond, latencies: latenciesOf(tookMs) }
    },
  }
}

async function publishHistory(bench: Bench, amqpUrl: string, sampleDay: string): Promise<void> {
  const tracker = createTracker({ url: amqpUrl, log: () => {} })
  const views = historyViews({
    posts: loadPosts(sampleDay),
    seed: 'bench',
    blogUrl: 'https://blog.example',
    untilMs: Date.now(),
    days: DAYS,
    views: bench.quick ? VIEWS.quick : VIEWS.full,
  })
  await publishAll(views, tracker, AbortSignal.timeout(60_000))
  await tracker.close()
}

async function signIn(url: string): Promise<string> {
  const answer = await fetch(`${url}/sign-in`, {
    method: 'POST',
    body: new URLSearchParams({ password: PASSWORD }),
    headers: { origin: url },
    redirect: 'manual',
  })
  const cookie = answer.headers.getSetCookie()[0]?.split(';')[0]
  if (cookie === undefined) throw new Error(`the panel lets nobody in: ${answer.status}`)
  return cookie
}
