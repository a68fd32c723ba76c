/**
 * Sends a relay many events as fast as it answers them, as PHP workers do: each sends one line at a time, on a connection that it
 * keeps. Prints `Filled` as JSON.
 */

import { connect } from 'node:net'
import { makeEvents } from '../events.ts'

/** The only argument, as JSON. */
export interface FillOptions {
  socket: string
  events: number
}

export interface Filled {
  eventsPerSecond: number
}

const WORKERS = 32
const POOL = 20_000
const OK = Buffer.from('ok\n')

const { socket, events } = JSON.parse(process.argv[2]!) as FillOptions
// The relay sets id and time.
const lines = makeEvents({ seed: 'relay', count: POOL, untilMs: Date.now() }).map(
  ({ event_id: _id, timestamp: _time, ...event }) => `${JSON.stringify(event)}\n`,
)
let sent = 0
const startMs = performance.now()
await Promise.all(Array.from({ length: WORKERS }, work))
const filled: Filled = { eventsPerSecond: (events * 1_000) / (performance.now() - startMs) }
console.log(JSON.stringify(filled))

function work(): Promise<void> {
  return new Promise((resolve, reject) => {
    const relay = connect(socket)
    const next = () => {
      if (sent === events) {
        relay.end()
        resolve()
      } else {
        relay.write(lines[sent++ % POOL]!)
      }
    }
    relay.once('connect', next)
    relay.once('error', reject)
    relay.on('data', answer => {
      if (answer.equals(OK)) next()
      else reject(new Error(`it answers ${answer}`))
    })
  })
}
