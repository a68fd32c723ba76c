/** How many messages wait in the queues. */

import type { ChannelModel } from 'amqplib'
import type { BrokerHealth, QueueDepths } from '../api/health.ts'
import { answered, Unanswered } from './answer.ts'
import { Connection, type Session } from './connection.ts'
import { countDead } from './dead-room.ts'
import { lookAtQueues, type Queues } from './queues.ts'

const TIMEOUT_MS = 2_500

/**
 * Null when the broker does not say: it is away, or a queue is gone.
 *
 * @param onSilent called later, if there is no answer at all
 */
export async function depthsOf(
  connection: ChannelModel,
  queues: Queues,
  onSilent: (error: Unanswered) => void,
): Promise<QueueDepths | null> {
  const late = new Promise<null>(resolve => setTimeout(resolve, TIMEOUT_MS, null).unref())
  const asked = answered(ask(connection, queues), 'count the waiting messages')
  asked.catch(error => {
    if (error instanceof Unanswered) onSilent(error)
  })
  try {
    return await Promise.race([asked, late])
  } catch {
    // Whatever the error is, the depths are unknown until the next question, in a moment.
    return null
  }
}

async function ask(connection: ChannelModel, { consumed }: Queues): Promise<QueueDepths> {
  const channel = await connection.createChannel()
  // `checkQueue` rejects with the error; without a listener the event would end the process.
  channel.on('error', () => {})
  const queues: Record<string, number> = {}
  for (const queue of consumed) queues[queue] = (await channel.checkQueue(queue)).messageCount
  await channel.close()
  return { queues, dead: await countDead(connection) }
}

const LOOK_AGAIN_MS = 60_000

interface WatchSession extends Session {
  connection: ChannelModel
  queues: Queues
  /** By `performance.now()`: when the queues were looked at. */
  lookedAtMs: number
  end(error: Error): void
}

/** For a process that does not consume: only looks. */
export class BrokerWatch implements BrokerHealth {
  readonly #connection: Connection<WatchSession>

  constructor(urls: readonly string[]) {
    this.#connection = new Connection<WatchSession>({
      urls,
      setUp: async connection => {
        const queues = await lookAtQueues(connection)
        const { promise: lost, resolve: end } = Promise.withResolvers<Error>()
        return { connection, queues, lookedAtMs: performance.now(), lost, end }
      },
      // The status and the metrics say that the depths are unknown.
      onLost: () => {},
    })
  }

  async depths(): Promise<QueueDepths | null> {
    const { session } = this.#connection
    if (session === undefined) return null
    if (performance.now() - session.lookedAtMs > LOOK_AGAIN_MS) {
      session.lookedAtMs = performance.now()
      // If this fails, the question for the depths fails, too.
      session.queues = await lookAtQueues(session.connection).catch(() => session.queues)
    }
    return depthsOf(session.connection, session.queues, session.end)
  }

  stop(): Promise<void> {
    return this.#connection.stop()
  }
}
