/** Life at first sight: gives a fresh store a history, once, and every start simulated readers. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createStats, createTracker, type Stats, StatsUnavailable } from '@postviews/client/src/index.ts'
import { publishAll, publishLive } from './publish.ts'
import type { SimulatedPost } from './rhythm.ts'
import { historyViews, liveViews } from './visits.ts'

export const HISTORY_DAYS = 90
const HISTORY_VIEWS = 80_000
const POLL_MS = 250
const CLOSE_MS = 2_000

/**
 * What one start remembers for the next, beside the store. A history that Ctrl-C interrupted is published again from its
 * beginning. Its events have the same ids, so no view is counted twice.
 */
export interface Sample {
  /** The start of it all: the dates of posts and history count back from here. Unix milliseconds. */
  sinceMs: number
  history: 'none' | 'unfinished' | 'done'
}

export interface LifeOptions {
  amqpUrl: string
  analyticsUrl: string
  apiKey: string
  blogUrl: string
  posts: readonly SimulatedPost[]
  /** The file that remembers the sample. */
  file: string
  /** How many views of the history are counted so far. */
  progress(counted: number, total: number): void
  say(line: string): void
}

export interface Life {
  /** Ends at once, whatever it is doing. */
  stop(): Promise<void>
}

/** Only a fresh store gets a history: one that has never counted a view. */
export async function readSample(
  file: string,
  stats: Pick<Stats, 'siteViews'>,
  withHistory: boolean,
): Promise<Sample> {
  const isFresh = (await stats.siteViews()).views === 0
  const known = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Sample) : null
  // Views of an unfinished history may still be waiting to be counted.
  if (known !== null && (!isFresh || known.history === 'unfinished')) return known
  const history = isFresh && withHistory ? 'unfinished' : 'none'
  return writeSample(file, { sinceMs: Date.now(), history })
}

function writeSample(file: string, sample: Sample): Sample {
  writeFileSync(file, `${JSON.stringify(sample)}\n`)
  return sample
}

/** Starts in the background. */
export function startLife(sample: Sample, options: LifeOptions): Life {
  const stopping = new AbortController()
  const tracker = createTracker({
    url: options.amqpUrl,
    appId: 'simulated-readers',
    log: ({ event, detail }) => {
      if (event !== 'broker.connected' && !stopping.signal.aborted)
        options.say(`readers: ${event}: ${detail}`)
    },
  })
  const running = live(sample, options, tracker, stopping.signal).catch((error: Error) => {
    options.say(`The simulated readers have stopped: ${error.message}`)
  })
  return {
    stop: async () => {
      stopping.abort()
      await running
      await tracker.close(CLOSE_MS)
    },
  }
}

async function live(
  sample: Sample,
  options: LifeOptions,
  tracker: ReturnType<typeof createTracker>,
  signal: AbortSignal,
): Promise<void> {
  const { posts, blogUrl, file, say } = options
  const life = { posts, blogUrl, seed: String(sample.sinceMs) }
  if (sample.history === 'unfinished') {
    const views = historyViews({
      ...life,
      untilMs: sample.sinceMs,
      days: HISTORY_DAYS,
      views: HISTORY_VIEWS,
    })
    const startedMs = performance.now()
    await Promise.all([publishAll(views, tracker, signal), untilCounted(views.length, options, signal)])
    if (signal.aborted) return
    writeSample(file, { ...sample, history: 'done' })
    const seconds = Math.round((performance.now() - startedMs) / 1_000)
    say(
      `${views.length.toLocaleString('en')} views of the last ${HISTORY_DAYS} days: counted, in ${seconds} s.`,
    )
  }
  await publishLive(liveViews({ ...life, fromMs: Date.now() }), tracker, signal)
}

async function untilCounted(total: number, options: LifeOptions, signal: AbortSignal): Promise<void> {
  const stats = createStats({ baseUrl: options.analyticsUrl, key: options.apiKey })
  for (let counted = 0; counted < total && !signal.aborted; ) {
    try {
      counted = (await stats.siteViews()).views
      options.progress(Math.min(counted, total), total)
    } catch (error) {
      // Analytics is busy counting; the next poll tells.
      if (!(error instanceof StatsUnavailable)) throw error
    }
    // Rejects when the signal is aborted; the loop checks that.
    await sleep(POLL_MS, undefined, { signal }).catch(() => {})
  }
}
