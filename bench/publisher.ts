/** What `trackView` costs its calling process, with the broker up, slow, and away. */

import { holdFreePort } from '../tools/stack/ports.ts'
import type { Bench } from './bench.ts'
import type { Tracked, TrackOptions } from './contenders/track-views.ts'
import { summarize } from './measure.ts'
import { part } from './part.ts'
import { runContender } from './processes.ts'
import { type Turn, takeTurns } from './rounds.ts'
import { startSlowLine } from './slow-line.ts'
import { decimal, megabytes, table, thousands } from './tables.ts'

const EVENTS = { full: 500_000, quick: 100_000 }
const STEADY_PER_SECOND = 1_000
const STEADY_SECONDS = 10
const SLOW_MS = 50

interface PublisherMeasured {
  cases: { title: string; runs: Tracked[] }[]
}

export const PUBLISHER = part<PublisherMeasured>({
  name: 'publisher',
  help: 'what trackView costs its caller, with the broker up, slow and away',

  async measure(bench) {
    const turns = publisherTurns(bench)
    const runs = await takeTurns(
      bench,
      turns,
      ({ p50Us, p99Us, confirmedPerSecond }) =>
        `p50 ${decimal(p50Us)} µs, p99 ${decimal(p99Us)} µs, ${thousands(confirmedPerSecond)} confirmed/s`,
    )
    return { cases: turns.map(({ name, title }) => ({ title, runs: runs.get(name)! })) }
  },

  show: ({ cases }) => ({
    tables: {
      publisher: table(
        [
          '',
          'calls',
          'a call, p50',
          'p99',
          'longest',
          'CPU an event',
          'confirmed/s',
          'dropped',
          'memory before',
          'at most',
        ],
        cases.map(({ title, runs }) => {
          const median = (value: (run: Tracked) => number) => summarize(runs.map(value)).median
          const microseconds = (value: (run: Tracked) => number) => `${decimal(median(value))} µs`
          return [
            title,
            thousands(median(({ stats }) => stats.accepted)),
            microseconds(({ p50Us }) => p50Us),
            microseconds(({ p99Us }) => p99Us),
            `${decimal(median(({ maxUs }) => maxUs) / 1_000)} ms`,
            microseconds(({ cpuUsPerEvent }) => cpuUsPerEvent),
            thousands(median(({ confirmedPerSecond }) => confirmedPerSecond)),
            thousands(median(({ stats }) => stats.dropped)),
            megabytes(median(({ residentBefore }) => residentBefore)),
            megabytes(median(({ peakResident }) => peakResident)),
          ]
        }),
      ),
    },
    figures: {},
  }),
})

function publisherTurns(bench: Bench): Turn<Tracked>[] {
  const events = bench.quick ? EVENTS.quick : EVENTS.full
  const fast = { events, eventsPerSecond: 0, withoutBroker: false }
  const steadily = { events: STEADY_PER_SECOND * STEADY_SECONDS, eventsPerSecond: STEADY_PER_SECOND }
  return [
    {
      name: 'steady',
      title: `the broker up, ${thousands(STEADY_PER_SECOND)} calls/s`,
      run: () => withVhost(bench, url => track(bench, { ...fast, ...steadily, amqpUrl: url })),
    },
    {
      name: 'fast',
      title: 'the broker up, as fast as it confirms',
      run: () => withVhost(bench, url => track(bench, { ...fast, amqpUrl: url })),
    },
    {
      name: 'slow',
      title: `the broker ${SLOW_MS} ms away, as fast as it confirms`,
      run: () =>
        withVhost(bench, async url => {
          const line = await startSlowLine(url, SLOW_MS)
          try {
            return await track(bench, { ...fast, amqpUrl: line.url })
          } finally {
            await line.close()
          }
        }),
    },
    {
      name: 'away',
      title: 'no broker',
      run: async () => {
        const port = await holdFreePort()
        try {
          return await track(bench, {
            ...fast,
            withoutBroker: true,
            amqpUrl: `amqp://127.0.0.1:${port.port}`,
          })
        } finally {
          port.release()
        }
      },
    },
  ]
}

async function withVhost<T>(bench: Bench, work: (amqpUrl: string) => Promise<T>): Promise<T> {
  const vhost = await (await bench.broker()).vhost()
  try {
    return await work(vhost.url)
  } finally {
    await vhost.delete()
  }
}

function track(bench: Bench, options: TrackOptions): Promise<Tracked> {
  return runContender('track-views', options, bench.folder)
}
