/** One turn of one contender: fills a queue, lets the contender empty it, and checks the counts. */

import type { Bench } from './bench.ts'
import { type BenchDatabase, type ExpectedViews, wrongCounts } from './databases.ts'
import { type Drained, drain, type Sample } from './drain.ts'
import type { BenchMessage } from './events.ts'
import { untilCalm } from './measure.ts'
import type { RunningProcess } from './processes.ts'
import { fillQueue, queueDepth } from './publish.ts'

/** How the queue is filled, and which processes empty it. */
export interface Backlog {
  /** Events in all messages. */
  total: number
  messages: Iterable<BenchMessage>
  /**
   * Null for a contender that stores nothing. `expected` is null for a store that held other views before; it is read when
   * everything is counted.
   */
  counts: { database: BenchDatabase; expected: ExpectedViews | null } | null
  start(amqpUrl: string): Promise<readonly RunningProcess[]>
  /** The number of counted events, where `/metrics` does not tell it. */
  counted?: () => Promise<number>
  onSample?(sample: Sample, consumers: readonly RunningProcess[]): void
}

export interface Emptied extends Drained {
  /** Why the figure is void; null when the counts are right. */
  wrong: string | null
}

/** Publishes everything, starts the contender, and then checks its counts. */
export async function runBacklog(bench: Bench, backlog: Backlog): Promise<Emptied> {
  const { total, messages, counts, start, counted, onSample } = backlog
  const broker = await bench.broker()
  const vhost = await broker.vhost()
  try {
    await fillQueue(vhost.url, messages, done => bench.progress('publish', done, total))
    const serverPid = counts?.database.serverPid
    const others = { broker: broker.pid, ...(serverPid !== undefined && { database: serverPid }) }
    await untilCalm(Object.values(others))
    const consumers = await start(vhost.url)
    const drained = await drain({
      consumers,
      total,
      others,
      ...(counted !== undefined && { counted }),
      onSample: sample => {
        bench.progress('count', sample.counted, total)
        onSample?.(sample, consumers)
      },
    }).finally(() => Promise.all(consumers.map(consumer => consumer.stop())))
    const left = await queueDepth(vhost.url)
    const wrong =
      left > 0
        ? `${left} messages were not acknowledged`
        : counts?.expected
          ? await wrongCounts(counts.database, counts.expected)
          : null
    return { ...drained, events: total, wrong }
  } finally {
    await vhost.delete()
  }
}
