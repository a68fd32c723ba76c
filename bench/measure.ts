/** Figures from samples, and what the kernel knows about a process (Linux). */

import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Summary {
  median: number
  min: number
  max: number
}

/** @throws {RangeError} when there are no values */
export function summarize(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b)
  return { median: medianOf(sorted), min: percentile(sorted, 0), max: percentile(sorted, 100) }
}

function medianOf(sorted: readonly number[]): number {
  const middle = (sorted.length - 1) / 2
  return (percentile(sorted, 50) + sorted[Math.ceil(middle)]!) / 2
}

/** By nearest rank, so it is a value of the list. `sorted` ascending; `percent` from 0 to 100. */
export function percentile(sorted: readonly number[], percent: number): number {
  if (sorted.length === 0) throw new RangeError('nothing was measured')
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)]!
}

export interface Latencies {
  count: number
  p50Ms: number
  p99Ms: number
  maxMs: number
}

/** From milliseconds, in any order. */
export function latenciesOf(valuesMs: readonly number[]): Latencies {
  const sorted = valuesMs.toSorted((a, b) => a - b)
  return {
    count: sorted.length,
    p50Ms: percentile(sorted, 50),
    p99Ms: percentile(sorted, 99),
    maxMs: percentile(sorted, 100),
  }
}

/** USER_HZ: /proc always counts CPU time in hundredths of a second (man 5 proc). */
const TICKS_PER_SECOND = 100

/** CPU time of the process and its children so far, in user and kernel mode; 0 when it is gone. */
export function cpuSeconds(pid: number): number {
  const stat = readProc(`${pid}/stat`)
  if (stat === undefined) return 0
  // The second field is the program's name, in brackets, and may hold anything. Fields 14 and 15 of man 5 proc.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const own = (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
  return childrenOf(pid).reduce((sum, child) => sum + cpuSeconds(child), own)
}

/** Resident memory now; 0 when it is gone. */
export function residentBytes(pid: number): number {
  return kibibytes(pid, 'VmRSS')
}

/** The peak of its resident memory; 0 when it is gone. */
export function peakResidentBytes(pid: number): number {
  return kibibytes(pid, 'VmHWM')
}

function kibibytes(pid: number, field: string): number {
  const line = readProc(`${pid}/status`)
    ?.split('\n')
    .find(text => text.startsWith(`${field}:`))
  return Number.parseInt(line?.slice(field.length + 1) ?? '0', 10) * 1_024
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap(
      task =>
        readProc(`${pid}/task/${task}/children`)
          ?.split(' ')
          .filter(text => text !== '')
          .map(Number) ?? [],
    )
  } catch {
    return [] // It has just ended.
  }
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(`/proc/${path}`, 'utf8')
  } catch {
    return undefined // It has just ended.
  }
}

const CALM_CORES = 0.05
const CALM_MS = 300
const CALM_DEADLINE_MS = 15_000

/**
 * Waits until the processes are nearly idle, so that work left by one contender is not the next one's load. At most 15 s.
 */
export async function untilCalm(pids: readonly number[]): Promise<void> {
  const spent = () => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)
  const deadline = performance.now() + CALM_DEADLINE_MS
  let before = spent()
  while (performance.now() < deadline) {
    await sleep(CALM_MS)
    const now = spent()
    if ((now - before) / (CALM_MS / 1_000) < CALM_CORES) return
    before = now
  }
}
