/** Sends numbered events to a relay and never repeats one: what was answered `ok` must be published, the rest may be. */

import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { atEnd } from './at-end.ts'
import { numbered } from './published.ts'
import { connectLines, type RelayLines } from './relay-lines.ts'

const AWAY_MS = 5

export interface Sender {
  /** The numbers that were answered `ok`, in the order of the answers. */
  readonly accepted: readonly number[]
  /** The numbers that were refused, with the answer. */
  readonly refused: ReadonlyMap<number, string>
  /** Of the last number that was sent. */
  readonly last: number
  /** False once a connection has ended and all answers of it are told, until there is the next. */
  readonly isConnected: boolean
  /** Waits for the answers that are still to come. */
  stop(): Promise<void>
}

/** Until stopped, over one connection after the other, `linesAtOnce` of them before it reads an answer. */
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
        // Nobody listens: that is what these tests do to it.
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

/** The n-th event as a line, without an id: that is the relay's to give. */
export function lineOf(n: number): string {
  return JSON.stringify(numbered(n))
}

/** The lines of the events from the one number to the other. */
export function linesOf(first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, index) => lineOf(first + index))
}
