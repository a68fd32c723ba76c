/**
 * The article's consumer: for each event one row, one upsert, two commits, one acknowledgement. The overhead of its framework is
 * left out, and the statements are prepared once: this is as fast as this design can be.
 */

import { VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { type ConsumeMessage, connect } from 'amqplib'
import { createConnection } from 'mysql2/promise'
import { COUNT_VIEW, INSERT_VIEW } from '../../test/support/article-sql.ts'
import type { BenchEvent } from '../events.ts'
import { serveCount } from './count-server.ts'

/** The only argument, as JSON. */
export interface OneByOneOptions {
  amqpUrl: string
  databaseUrl: string
  prefetchMessages: number
}

const options = JSON.parse(process.argv[2]!) as OneByOneOptions
let counted = 0
serveCount(() => counted)

const database = await createConnection({ uri: options.databaseUrl, timezone: 'Z' })
const connection = await connect(options.amqpUrl)
const channel = await connection.createChannel()
await channel.prefetch(options.prefetchMessages)
let last: Promise<void> = Promise.resolve()
await channel.consume(VIEWS_QUEUE, message => {
  if (message === null) throw new Error('the broker ended the consumer')
  last = last.then(() => count(message))
})

async function count(message: ConsumeMessage): Promise<void> {
  const event = JSON.parse(message.content.toString()) as BenchEvent
  await database.execute(INSERT_VIEW, [
    event.post_uuid,
    event.user_id,
    event.ip,
    event.user_agent,
    event.referer,
    event.timestamp.slice(0, 19).replace('T', ' '),
  ])
  await database.execute(COUNT_VIEW, [event.post_uuid])
  channel.ack(message)
  counted++
}

process.once('SIGTERM', async () => {
  await channel.close()
  await connection.close()
  await database.end()
  process.exit()
})
