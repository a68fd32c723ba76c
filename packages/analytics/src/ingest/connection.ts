/** A connection to the broker that is retried for ever, on one node of a cluster after the other. */

import { setTimeout as sleep } from 'node:timers/promises'
import { brokerUrl, openConnection } from '@postviews/client/src/link.ts'
import type { ChannelModel } from 'amqplib'
import { withoutSecrets } from '../config.ts'
import { Unanswered } from './answer.ts'
import { readAnyProperties } from './properties.ts'

const HEARTBEAT_SECONDS = 10
/** For channel, queues and consumers. */
const SETUP_TIMEOUT_MS = 15_000
const RETRY_MIN_MS = 200
const RETRY_MAX_MS = 10_000
const CLOSE_TIMEOUT_MS = 2_000

/** What runs on a connection. It ends with the connection, or earlier. */
export interface Session {
  /**
   * Resolves with the reason when the session is over, even if its connection is not. An `Unanswered` means that the
   * connection is of no more use.
   */
  lost: Promise<Error>
}

export interface ConnectionSteps<S extends Session> {
  /** The nodes of one cluster; each loss tries the next. */
  urls: readonly string[]
  /** Awaited before each attempt. The signal is aborted when nobody waits any more. */
  ready?(signal: AbortSignal): Promise<void>
  setUp(connection: ChannelModel): Promise<S>
  /** `broker` is the URL of the node, fit for the log. */
  onUp?(session: S, broker: string): void
  /** `session` is the one that was lost; undefined when none was set up. */
  onLost(error: Error, session: S | undefined, broker: string): void
}

/**
 * Opens a connection, sets up a session on it, waits for its end, and starts again with the next node. The pause before
 * that is short after a session that lasted; otherwise it grows each time every node has had its turn.
 */
export class Connection<S extends Session> {
  readonly #steps: ConnectionSteps<S>
  readonly #stopping = new AbortController()
  readonly #ended: Promise<void>
  #session: S | undefined

  constructor(steps: ConnectionSteps<S>) {
    this.#steps = { ...steps, urls: steps.urls.map(url => brokerUrl(url, HEARTBEAT_SECONDS)) }
    this.#ended = this.#run()
  }

  /** The session there is now; undefined while the broker is away. */
  get session(): S | undefined {
    return this.#session
  }

  /** Ends the connection in the orderly way, so that what was sent on it before has arrived. */
  stop(): Promise<void> {
    this.#stopping.abort()
    return this.#ended
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    const { urls } = this.#steps
    let failures = 0
    for (let turn = 0; !signal.aborted; turn++) {
      if (failures > 0) await pause(failures, urls.length, signal)
      if (signal.aborted) return
      const url = urls[turn % urls.length]!
      const openedAt = Date.now()
      const error = await this.#runOnce(url, signal)
      if (signal.aborted) return
      failures = Date.now() - openedAt > RETRY_MAX_MS ? 1 : failures + 1
      const session = this.#session
      this.#session = undefined
      this.#steps.onLost(error, session, withoutSecrets(url))
    }
  }

  async #runOnce(url: string, signal: AbortSignal): Promise<Error> {
    const socket = new AbortController()
    const stopped = new Promise<Error>(resolve => {
      signal.addEventListener('abort', () => resolve(new Error('stopped')), { once: true })
    })
    try {
      // `stop` does not wait for a store that does not answer.
      await Promise.race([this.#steps.ready?.(signal), stopped])
      if (signal.aborted) return new Error('stopped')
      const opening = openConnection(
        { url, timeoutMs: SETUP_TIMEOUT_MS, signal: socket.signal },
        async (connection, lost) => {
          readAnyProperties(connection)
          const session = await this.#steps.setUp(connection)
          return { connection, session, lost: Promise.race([lost, session.lost]) }
        },
      )
      // `stop` does not wait for a broker that does not answer: the socket is destroyed below.
      const opened = await Promise.race([opening, stopped])
      if (opened instanceof Error) return opened
      const { connection, session, lost } = opened
      this.#session = session
      this.#steps.onUp?.(session, withoutSecrets(url))
      const error = await Promise.race([lost, stopped])
      if (error instanceof Unanswered) return error
      // An orderly close fails or hangs if the connection is lost already, or half open.
      await Promise.race([
        connection.close().catch(() => {}),
        sleep(CLOSE_TIMEOUT_MS, undefined, { ref: false }),
      ])
      return error
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    } finally {
      socket.abort()
    }
  }
}

async function pause(failures: number, nodes: number, signal: AbortSignal): Promise<void> {
  const rounds = failures / nodes
  // Until every node has had its turn, one of the others may well answer.
  const longestMs = Number.isInteger(rounds)
    ? Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (rounds - 1))
    : RETRY_MIN_MS
  // From half to all of it, so that consumers that failed together do not come back together.
  const delayMs = longestMs * (0.5 + Math.random() / 2)
  // Rejects when the signal comes: then there is nothing to wait for any more.
  await sleep(delayMs, undefined, { signal }).catch(() => {})
}
