/** A replay while the broker has no memory left: it reads nothing more on a connection that has published, and closes nothing. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEAD_QUEUE } from '@postviews/client/src/index.ts'
import { startRabbitmq } from '../../tools/stack/rabbitmq.ts'
import { atEnd } from '../support/at-end.ts'
import { commandLine } from '../support/command.ts'
import { messageCount, sendTo } from '../support/published.ts'
import { declareQueues } from '../support/system.ts'

const ALARM = ['set_vm_memory_high_watermark', '0.000001']
const WELL = ['set_vm_memory_high_watermark', '0.4']

test('a replay ends by itself during an alarm, and what it could not send is still there', async t => {
  const broker = await startRabbitmq()
  atEnd(t, () => broker.stop())
  await declareQueues(broker.url)
  await sendTo(broker.url, [DEAD_QUEUE], '{"post_uuid":"a-post"}')
  const { run } = await commandLine(t, { AMQP_URL: broker.url, DATABASE_URL: 'sqlite:views.db' })
  await broker.ctl(...ALARM)
  const { code, stderr } = await run('dead replay')
  await broker.ctl(...WELL)
  assert.equal(code, 1, 'it had to be killed')
  assert.match(stderr, /the broker has not answered/)
  assert.equal(await messageCount(broker.url, DEAD_QUEUE), 1)
})
