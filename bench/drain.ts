/** Watches a process empty a queue, and measures its speed and the CPU time of each process. */

import { setTimeout as sleep } from 'node:timers/promises'
import { cpuSeconds, peakResidentBytes } from './measure.ts'
import type { RunningProcess } from './processes.ts'

export interface DrainOptions {
  /** Each reports on `/metrics` how many events it has counted. */
  consumers: readonly RunningProcess[]
  /** The number of counted events, where `/metrics` does not tell it. */
  counted?: () => Promise<number>
  /** Events in the queue before it started. */
  total: number
  /** Pids of other processes that take part, by name. */
  others: Readonly<Record<string, number>>
  /** Gives up after this long without progress. */
  patienceMs?: number
  onSample?: (sample: Sample) => void
}

export interface Sample {
  /** `performance.now()`. */
  atMs: number
  /** By all consumers. */
  counted: number
}

export interface Drained {
  events: number
  /** From the first sample with at least 5 % counted to the last one. */
  seconds: number
  eventsPerSecond: number
  /** CPU milliseconds per 1,000 events in that time, by process; `service` is the sum of all consumers. */
  cpuMsPer1000: Record<string, number>
  /** Of the consumer with the most. */
  peakResidentBytes: number
}

/** Not measured: the consumer starts, subscribes, and its code is compiled. */
const WARM_SHARE = 0.05
const SAMPLE_MS = 50
const PATIENCE_MS = 60_000
const COUNTED = /^postviews_events_total\{outcome="counted",reason=""\} (\d+)$/m

/** @throws {Error} when a consumer ends, or none makes progress */
export async function drain(options: DrainOptions): Promise<Drained> {
  const { consumers, total, others, patienceMs = PATIENCE_MS, onSample } = options
  const { counted: countedByNow = async () => sum(await Promise.all(consumers.map(countedBy))) } = options
  const pids = { ...mapValues(others, pid => [pid]), service: consumers.map(({ pid }) => pid) }
  const cpuNow = () => Object.entries(pids).map(([name, some]) => [name, sum(some.map(cpuSeconds))] as const)
  let warm: { sample: Sample; cpu: Map<string, number> } | undefined
  let counted = 0
  let progressAt = performance.now()
  while (counted < total) {
    await sleep(SAMPLE_MS)
    const sample: Sample = { counted: await countedByNow(), atMs: performance.now() }
    onSample?.(sample)
    if (sample.counted > counted) progressAt = sample.atMs
    counted = sample.counted
    if (warm === undefined && counted >= WARM_SHARE * total) warm = { sample, cpu: new Map(cpuNow()) }
    if (counted >= total && warm !== undefined) {
      const peak = Math.max(...consumers.map(({ pid }) => peakResidentBytes(pid)))
      return { ...drained(warm, sample, cpuNow()), peakResidentBytes: peak }
    }
    if (sample.atMs - progressAt > patienceMs)
      throw new Error(`it stands still at ${counted} of ${total} events`)
  }
  throw new Error('there was nothing to count')
}

export async function countedBy(consumer: RunningProcess): Promise<number> {
  if (!consumer.isRunning) {
    await consumer.stop() // Reports how it ended.
  }
  const response = await fetch(`${consumer.url}/metrics`, { signal: AbortSignal.timeout(10_000) })
  const text = await response.text()
  const counted = COUNTED.exec(text)?.[1]
  if (counted === undefined) throw new Error(`${consumer.url}/metrics does not tell what was counted`)
  return Number(counted)
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function mapValues<T, S>(record: Readonly<Record<string, T>>, map: (value: T) => S): Record<string, S> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]))
}

function drained(
  warm: { sample: Sample; cpu: ReadonlyMap<string, number> },
  last: Sample,
  cpu: readonly (readonly [string, number])[],
): Omit<Drained, 'peakResidentBytes'> {
  const events = last.counted - warm.sample.counted
  const seconds = (last.atMs - warm.sample.atMs) / 1_000
  if (events === 0) throw new Error('it was too fast to be measured: give it more events')
  const spent = cpu.map(([name, after]) => [name, ((after - warm.cpu.get(name)!) * 1e6) / events] as const)
  return {
    events,
    seconds,
    eventsPerSecond: events / seconds,
    cpuMsPer1000: Object.fromEntries(spent),
  }
}
