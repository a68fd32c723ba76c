/** PHP workers that send views, to a relay on their machine or directly, with the broker near, far and away. */

import { existsSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '../tools/life/random.ts'
import { holdFreePort } from '../tools/stack/ports.ts'
import { browserAgent } from './agents.ts'
import type { Bench } from './bench.ts'
import { cpuSeconds, type Latencies, latenciesOf, peakResidentBytes } from './measure.ts'
import { type RunningProcess, runPhp, startProcess } from './processes.ts'
import { fillQueue } from './publish.ts'
import { startSlowLine } from './slow-line.ts'

/** In one direction: a round trip takes twice as long. */
export const FAR_MS = 20
export type Where = 'away' | 'near' | 'far'

export interface Called extends Latencies {
  callsPerSecond: number
  /** The greatest delay of a worker behind its own timetable. A late load generator has measured itself. */
  lateMs: number
  failed: number
  /** Of the relay, per 1,000 views; 0 without a relay. */
  relayCpuMsPer1000: number
  relayPeakBytes: number
}

export interface CallOptions {
  way: 'relay' | 'direct'
  /** The relay's socket, or the broker's URL. */
  address: string
  isKept: boolean
  workers: number
  /** Total of all workers; 0: each worker's next call follows its last answer. */
  perSecond: number
  /** Total of all workers. */
  calls: number
}

interface Printed {
  took_ms: number[]
  late_ms: number
  failed: number
}

/** Not measured: the first calls of each worker compile, connect and warm up the relay. */
const WARM_SHARE = 0.1
/** The time for PHP to start. */
const START_SECONDS = 1

/** Runs the workers, each in its own process, and combines their results. */
export async function call(bench: Bench, options: CallOptions, relay?: RunningProcess): Promise<Called> {
  const { way, address, isKept, workers, perSecond, calls } = options
  const callsEach = Math.ceil(calls / workers)
  const startAt = Date.now() / 1_000 + START_SECONDS
  const argument = {
    way,
    address,
    isKept,
    calls: callsEach,
    per_second: perSecond / workers,
    start_at: startAt,
    agent: browserAgent(new Random('callers')),
  }
  const run = () => runPhp<Printed>('view-caller', argument, bench.folder)
  const running = Promise.all(Array.from({ length: workers }, run))
  await sleep(startAt * 1_000 - Date.now())
  const cpuBefore = relay === undefined ? 0 : cpuSeconds(relay.pid)
  const since = performance.now()
  const printed = await running
  const seconds = (performance.now() - since) / 1_000
  const cpu = relay === undefined ? 0 : cpuSeconds(relay.pid) - cpuBefore
  const warm = Math.floor(callsEach * WARM_SHARE)
  return {
    ...latenciesOf(printed.flatMap(({ took_ms }) => took_ms.slice(warm))),
    callsPerSecond: (workers * callsEach) / seconds,
    lateMs: Math.max(...printed.map(({ late_ms }) => late_ms)),
    failed: printed.reduce((sum, { failed }) => sum + failed, 0),
    relayCpuMsPer1000: (cpu * 1e6) / (workers * callsEach),
    relayPeakBytes: relay === undefined ? 0 : peakResidentBytes(relay.pid),
  }
}

/** The broker's URL at that distance, on a new virtual host with the service's queue. */
export async function withBroker<T>(
  bench: Bench,
  where: Where,
  work: (amqpUrl: string) => Promise<T>,
): Promise<T> {
  if (where === 'away') {
    const port = await holdFreePort()
    try {
      return await work(`amqp://guest:guest@127.0.0.1:${port.port}`)
    } finally {
      port.release()
    }
  }
  const vhost = await (await bench.broker()).vhost()
  try {
    await fillQueue(vhost.url, []) // Declares the queue.
    if (where === 'near') return await work(vhost.url)
    const line = await startSlowLine(vhost.url, FAR_MS)
    try {
      return await work(line.url)
    } finally {
      await line.close()
    }
  } finally {
    await vhost.delete()
  }
}

export interface RunningRelay {
  process: RunningProcess
  socket: string
  spool: string
}

/**
 * A relay with its own spool and default settings, without a port. Another program that reads the same settings may take its
 * place.
 */
export async function startRelay(
  bench: Bench,
  amqpUrl: string,
  program = 'packages/client/bin/postviews-relay.mjs',
): Promise<RunningRelay> {
  const folder = mkdtempSync(join(bench.folder, 'relay-'))
  const socket = join(folder, 'relay.sock')
  const spool = join(folder, 'spool')
  const running = await startProcess({
    name: 'the relay',
    command: [program],
    env: { AMQP_URL: amqpUrl, RELAY_SOCKET: socket, RELAY_SPOOL: spool },
    ready: async () => existsSync(socket),
    folder,
  })
  return { process: running, socket, spool }
}
