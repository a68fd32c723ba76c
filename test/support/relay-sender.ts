/** Sends numbered events to a relay and repeats none: those answered `ok` must be published, the others may be. */

import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { atEnd } from './at-end.ts'
import { numbered } from './published.ts'
import { connectLines, type RelayLines } from './relay-lines.ts'

const AWAY_MS = 5

export interface Sender {
  /** Numbers answered `ok`, in the order of the answers. */
  readonly accepted: readonly number[]
  /** Refused numbers, with their answers. */
  readonly refused: ReadonlyMap<number, string>
  /** The last number sent. */
  readonly last: number
  /** False after a connection has ended and all its answers are recorded, until the next one is open. */
  readonly isConnected: boolean
  /** Stops sending, and waits for the outstanding answers. */
  stop(): Promise<void>
}

/** Sends until stopped, on one connection after the other, `linesAtOnce` lines before it reads their answers. */
export function sendSteadily(t: TestContext, socketPath: string, linesAtOnce = 20): Sender {
  const accepted: number[] = []
  const refused = new Map<number, string>()
  let last = 0
  let isStopped = false
  let isConnected = false
  const run = async () => {
    let relay: RelayLines | undefined
    while (!isStopped) {
      if (relay === undefined || relay.isClosed) {
        isConnected = false
        relay = await connectLines(socketPath).catch(() => undefined)
        isConnected = relay !== undefined
        // Nothing listens: these tests cause that.
        if (relay === undefined) await sleep(AWAY_MS)
        continue
      }
      const numbers = Array.from({ length: linesAtOnce }, () => ++last)
      const answers = await relay.ask(numbers.map(lineOf), 60_000)
      for (const [index, answer] of answers.entries()) {
        if (answer === 'ok') accepted.push(numbers[index]!)
        else refused.set(numbers[index]!, answer)
      }
    }
    relay?.destroy()
  }
  const running = run()
  const stop = () => {
    isStopped = true
    return running
  }
  atEnd(t, stop)
  return {
    accepted,
    refused,
    get last() {
      return last
    },
    get isConnected() {
      return isConnected
    },
    stop,
  }
}

/** The n-th event as a line, without an id: the relay sets it. */
export function lineOf(n: number): string {
  return JSON.stringify(numbered(n))
}

/** The lines of the events `first` to `last`. */
export function linesOf(first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, index) => lineOf(first + index))
}
