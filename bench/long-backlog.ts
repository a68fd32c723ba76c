/** A queue of a million: whether its last tenth is counted as fast as its first, and with how much memory. */

import { runBacklog } from './backlog.ts'
import type { Bench } from './bench.ts'
import { type BenchEngine, withDatabase } from './databases.ts'
import type { Sample } from './drain.ts'
import {
  type BenchEvent,
  type BenchMessage,
  type EventsOptions,
  generateEvents,
  grouped,
  oneByOne,
} from './events.ts'
import { residentBytes } from './measure.ts'
import { startService } from './processes.ts'

export const BACKLOG_KINDS = [
  { title: 'one event a message', toMessages: oneByOne },
  { title: 'grouped', toMessages: grouped },
] as const

export interface LongBacklog {
  title: string
  events: number
  /** Events per second, tenth by tenth. */
  deciles: number[]
  /** Bytes, of the service. */
  residentAt10: number
  residentAt90: number
  peakResident: number
}

const EVENTS_AT_ONCE = 10_000

/** @throws {Error} when the counts are wrong */
export function longBacklog(
  bench: Bench,
  engine: BenchEngine,
  { title, toMessages }: (typeof BACKLOG_KINDS)[number],
  total: number,
): Promise<LongBacklog> {
  return withDatabase(engine, async database => {
    const source: EventsOptions = { seed: 'backlog', count: total, untilMs: Date.now() }
    const expected = new Map<string, number>()
    const samples: (Sample & { resident: number })[] = []
    const emptied = await runBacklog(bench, {
      total,
      messages: messagesOf(source, toMessages, expected),
      counts: { database, expected },
      start: async amqpUrl => [
        await startService({ amqpUrl, databaseUrl: database.url, folder: bench.folder }),
      ],
      onSample: (sample, [consumer]) => samples.push({ ...sample, resident: residentBytes(consumer!.pid) }),
    })
    if (emptied.wrong !== null) throw new Error(emptied.wrong)
    const at = (share: number) => samples.find(({ counted }) => counted >= share * total)!
    // The first tenth starts when the warm-up is over, as in every part.
    const limits = Array.from({ length: 11 }, (_, tenth) => (tenth === 0 ? 0.05 : tenth / 10) * total)
    const times = limits.map(counted => timeOf(samples, counted))
    const backlog: LongBacklog = {
      title: `${engine.name}, ${title}`,
      events: total,
      deciles: Array.from(
        { length: 10 },
        (_, tenth) => ((limits[tenth + 1]! - limits[tenth]!) * 1_000) / (times[tenth + 1]! - times[tenth]!),
      ),
      residentAt10: at(0.1).resident,
      residentAt90: at(0.9).resident,
      peakResident: emptied.peakResidentBytes,
    }
    bench.say(`${backlog.title}: ${Math.round(emptied.eventsPerSecond)} events/s`)
    return backlog
  })
}

/** When this many events were counted, interpolated between two samples. Milliseconds. */
function timeOf(samples: readonly Sample[], counted: number): number {
  const after = samples.findIndex(sample => sample.counted >= counted)
  const to = samples[after]!
  const from = samples[after - 1] ?? to
  if (to.counted === from.counted) return to.atMs
  return from.atMs + ((counted - from.counted) / (to.counted - from.counted)) * (to.atMs - from.atMs)
}

/** A few at a time, because a million would take more memory than everything else. Updates the expected counts. */
function* messagesOf(
  source: EventsOptions,
  toMessages: (events: readonly BenchEvent[]) => BenchMessage[],
  counted: Map<string, number>,
): Generator<BenchMessage> {
  let some: BenchEvent[] = []
  for (const event of generateEvents(source)) {
    counted.set(event.post_uuid, (counted.get(event.post_uuid) ?? 0) + 1)
    some.push(event)
    if (some.length < EVENTS_AT_ONCE) continue
    yield* toMessages(some)
    some = []
  }
  yield* toMessages(some)
}
