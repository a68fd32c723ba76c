/** A connection to the broker that is tried again for ever. */

import { setTimeout as sleep } from 'node:timers/promises'
import { brokerUrl, openConnection } from '@postviews/client/src/link.ts'
import type { ChannelModel } from 'amqplib'
import { readAnyProperties } from './properties.ts'

const HEARTBEAT_SECONDS = 10
const SETUP_TIMEOUT_MS = 20_000
const RETRY_MIN_MS = 200
const RETRY_MAX_MS = 10_000
const CLOSE_TIMEOUT_MS = 2_000

/** What a connection was set up for; it ends with the connection, or earlier by itself. */
export interface Session {
  /** Fulfilled, with the reason, when the session is over though its connection may not be. */
  lost: Promise<Error>
}

export interface ConnectionSteps<S extends Session> {
  url: string
  /** Waited for before each attempt; the signal tells that nobody waits any more. */
  ready?(signal: AbortSignal): Promise<void>
  setUp(connection: ChannelModel): Promise<S>
  onUp?(session: S): void
  /** `session` is the one that was lost; undefined when it never came to one. */
  onLost(error: Error, session: S | undefined): void
}

/**
 * Opens a connection, sets up a session on it, waits for its end, and begins again: at once after a session that
 * held, after a growing pause otherwise.
 */
export class Connection<S extends Session> {
  readonly #steps: ConnectionSteps<S>
  readonly #stopping = new AbortController()
  readonly #ended: Promise<void>
  #session: S | undefined

  constructor(steps: ConnectionSteps<S>) {
    this.#steps = { ...steps, url: brokerUrl(steps.url, HEARTBEAT_SECONDS) }
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
    let failures = 0
    while (!signal.aborted) {
      if (failures > 0) await pause(failures, signal)
      if (signal.aborted) return
      const openedAt = Date.now()
      const error = await this.#runOnce(signal)
      if (signal.aborted) return
      failures = Date.now() - openedAt > RETRY_MAX_MS ? 1 : failures + 1
      const session = this.#session
      this.#session = undefined
      this.#steps.onLost(error, session)
    }
  }

  async #runOnce(signal: AbortSignal): Promise<Error> {
    const socket = new AbortController()
    const stopped = new Promise<Error>(resolve => {
      signal.addEventListener('abort', () => resolve(new Error('stopped')), { once: true })
    })
    try {
      // A store that does not answer is not waited for either.
      await Promise.race([this.#steps.ready?.(signal), stopped])
      if (signal.aborted) return new Error('stopped')
      const opening = openConnection(
        { url: this.#steps.url, timeoutMs: SETUP_TIMEOUT_MS, signal: socket.signal },
        async (connection, lost) => {
          readAnyProperties(connection)
          const session = await this.#steps.setUp(connection)
          return { connection, session, lost: Promise.race([lost, session.lost]) }
        },
      )
      // Whoever stops does not wait for a broker that does not answer: the socket is destroyed below.
      const opened = await Promise.race([opening, stopped])
      if (opened instanceof Error) return opened
      const { connection, session, lost } = opened
      this.#session = session
      this.#steps.onUp?.(session)
      const error = await Promise.race([lost, stopped])
      // A connection that is lost already, or half open, has nothing left to close in order.
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

async function pause(failures: number, signal: AbortSignal): Promise<void> {
  const longestMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (failures - 1))
  // Between half and all of it, so that consumers that failed together do not come back together.
  const delayMs = longestMs * (0.5 + Math.random() / 2)
  // Rejects when the signal comes: then there is nothing to wait for any more.
  await sleep(delayMs, undefined, { signal }).catch(() => {})
}
