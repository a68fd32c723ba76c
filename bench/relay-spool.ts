/** A relay whose spool fills while the broker is away, rests, and is drained when the broker returns. */

import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { HEADER_BYTES } from '../packages/client/src/relay/segments.ts'
import type { Bench } from './bench.ts'
import type { Filled, FillOptions } from './contenders/fill-relay.ts'
import { drain } from './drain.ts'
import { residentBytes } from './measure.ts'
import { type RunningProcess, runContender } from './processes.ts'
import { fillQueue } from './publish.ts'
import { startRelay } from './relay-callers.ts'

export interface Spooled {
  events: number
  acceptedPerSecond: number
  drainedPerSecond: number
  /** The relay's memory: its peak while the spool fills, at rest, and its peak while the spool drains. */
  fillingBytes: number
  restingBytes: number
  drainingBytes: number
  cpuMsPer1000: Record<string, number>
}

const REST_MS = 5_000
const LOOK_MS = 20

export async function spool(bench: Bench, events: number): Promise<Spooled> {
  const broker = await bench.broker()
  const name = `relay-${Date.now()}`
  // Without its virtual host, the broker refuses the relay: to the relay it is away.
  const { process: relay, socket, spool: folder } = await startRelay(bench, `${broker.url}/${name}`)
  const memory = watchMemory(relay)
  try {
    const options: FillOptions = { socket, events }
    const { eventsPerSecond } = await runContender<Filled>('fill-relay', options, bench.folder)
    const fillingBytes = memory.most()
    await sleep(REST_MS)
    const restingBytes = residentBytes(relay.pid)
    memory.most()
    const spooledBytes = bytesIn(folder)

    const vhost = await broker.vhost(name)
    try {
      await fillQueue(vhost.url, []) // Declares the queue.
      const drained = await drain({
        consumers: [relay],
        // The relay removes a segment of 4 MB only when all its views are confirmed, so this value moves in steps.
        counted: async () => Math.round(events * (1 - bytesIn(folder) / spooledBytes)),
        total: events,
        others: { broker: broker.pid },
      })
      return {
        events,
        acceptedPerSecond: eventsPerSecond,
        drainedPerSecond: drained.eventsPerSecond,
        fillingBytes,
        restingBytes,
        drainingBytes: memory.most(),
        cpuMsPer1000: drained.cpuMsPer1000,
      }
    } finally {
      await vhost.delete()
    }
  } finally {
    memory.stop()
    await relay.stop()
  }
}

function watchMemory(relay: RunningProcess) {
  let most = 0
  const timer = setInterval(() => {
    most = Math.max(most, residentBytes(relay.pid))
  }, LOOK_MS)
  return {
    /** The maximum since the last call. */
    most() {
      const seen = most
      most = 0
      return seen
    },
    stop: () => clearInterval(timer),
  }
}

/** The bytes of the records in a spool. */
function bytesIn(folder: string): number {
  const bytesOf = (name: string) => {
    try {
      return Math.max(0, statSync(join(folder, name)).size - HEADER_BYTES)
    } catch {
      return 0 // The relay removed it meanwhile.
    }
  }
  return readdirSync(folder)
    .filter(name => name.endsWith('.views'))
    .reduce((bytes, name) => bytes + bytesOf(name), 0)
}
