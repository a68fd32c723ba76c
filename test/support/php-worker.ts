/** A PHP process that serves one page after the other, as an Octane worker does; without Laravel (publishers/page-by-page.php). */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import type { ViewEvent } from '@postviews/client/src/index.ts'
import { atEnd } from './at-end.ts'

const PUBLISHERS = join(import.meta.dirname, '../publishers')

export interface ShownPage {
  track_ms: number
  flush_ms: number
  is_sent: boolean
  /** Since the previous page. */
  log: [event: string, detail: string][]
}

export interface PhpWorker {
  /** Tracks views and sends them, as a page does at its end. */
  show(...views: ViewEvent[]): Promise<ShownPage>
  /** Tracks views, as a page does before its end. */
  track(...views: ViewEvent[]): Promise<ShownPage>
  /** Ends the process and returns what it logged then. */
  end(): Promise<string>
}

export interface PhpWays {
  /** The socket of a relay. */
  relay?: string
  /** The broker, alone or as fallback of the relay. */
  amqpUrl?: string
  /** The folder where workers tell each other what is away. */
  restFolder?: string
}

export function phpWorker(t: TestContext, { relay = '', amqpUrl = '', restFolder = '' }: PhpWays): PhpWorker {
  const child = spawn('php', ['page-by-page.php'], {
    cwd: PUBLISHERS,
    env: {
      PATH: process.env['PATH'] ?? '/usr/bin:/bin',
      RELAY_SOCKET: relay,
      AMQP_URL: amqpUrl,
      REST_FOLDER: restFolder,
    },
  })
  atEnd(t, () => child.kill('SIGKILL'))
  let lastWords = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    lastWords += text
  })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const ask = async (page: { track: ViewEvent[]; flush: boolean }): Promise<ShownPage> => {
    child.stdin.write(`${JSON.stringify(page)}\n`)
    const { value, done } = await lines.next()
    if (done) throw new Error(`php has ended: ${lastWords}`)
    return JSON.parse(value) as ShownPage
  }
  return {
    show: (...views) => ask({ track: views, flush: true }),
    track: (...views) => ask({ track: views, flush: false }),
    async end() {
      child.stdin.end()
      if (child.exitCode === null) await once(child, 'close')
      return lastWords
    },
  }
}
