/** The upper bound: takes every message, discards it and acknowledges it. */

import { VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import { serveCount } from './count-server.ts'

/** The only argument, as JSON. */
export interface NothingOptions {
  amqpUrl: string
  /** Messages in the queue. */
  messages: number
  /** Known beforehand, because reading the messages would be work. */
  eventsPerMessage: number
  prefetchMessages: number
  ackEveryMessages: number
}

const options = JSON.parse(process.argv[2]!) as NothingOptions
let acknowledged = 0
serveCount(() => acknowledged * options.eventsPerMessage)

const connection = await connect(options.amqpUrl)
const channel = await connection.createChannel()
await channel.prefetch(options.prefetchMessages)
let taken = 0
await channel.consume(VIEWS_QUEUE, message => {
  if (message === null) throw new Error('the broker ended the consumer')
  taken++
  if (taken - acknowledged < options.ackEveryMessages && taken < options.messages) return
  channel.ack(message, true)
  acknowledged = taken
})

process.once('SIGTERM', async () => {
  // The broker handles acknowledgements before an orderly channel close.
  await channel.close()
  await connection.close()
  process.exit()
})
