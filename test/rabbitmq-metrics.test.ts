/** What alerts and dashboard ask of RabbitMQ's own metrics is there, whatever its version. */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { CONSUMED_QUEUES, declareTopology, VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import { parse } from 'yaml'
import { holdFreePort } from '../tools/stack/ports.ts'
import { startRabbitmq } from '../tools/stack/rabbitmq.ts'
import { samples } from './support/api.ts'
import { atEnd } from './support/at-end.ts'
import { RABBITMQ_METRICS } from './support/rabbitmq-metrics.ts'
import { until } from './support/until.ts'

interface ScrapeConfigs {
  scrape_configs: { job_name: string; metrics_path?: string; params?: Record<string, string[]> }[]
}

test('each metric that is asked for is there, under the paths that Prometheus is told', async t => {
  const held = await holdFreePort()
  const broker = await startRabbitmq({
    plugins: ['rabbitmq_prometheus'],
    config: ['prometheus.tcp.ip = 127.0.0.1', `prometheus.tcp.port = ${held.port}`],
  })
  atEnd(t, () => broker.stop())
  const connection = await connect(broker.url)
  atEnd(t, () => connection.close())
  await declareTopology(connection, CONSUMED_QUEUES)
  const channel = await connection.createConfirmChannel()
  await channel.consume(VIEWS_QUEUE, () => {})
  channel.sendToQueue(VIEWS_QUEUE, Buffer.from('{}'))
  await channel.waitForConfirms()

  const text = await readFile(join(import.meta.dirname, '../deploy/prometheus/prometheus.yml'), 'utf8')
  const scrapes = (parse(text) as ScrapeConfigs).scrape_configs.filter(({ job_name }) =>
    job_name.startsWith('rabbitmq'),
  )
  const scrape = async () => {
    const pages: string[] = []
    for (const { metrics_path = '/metrics', params = {} } of scrapes) {
      const query = new URLSearchParams(
        Object.entries(params).flatMap(([name, values]) => values.map(value => [name, value])),
      )
      pages.push(await (await fetch(`http://127.0.0.1:${held.port}${metrics_path}?${query}`)).text())
    }
    return pages.join('\n')
  }
  const labels = `{vhost="/",queue="${VIEWS_QUEUE}"}`
  // The plugin tells what the broker gathered some seconds ago.
  let page = ''
  await until('the consumer and its message are there', async () => {
    page = await scrape()
    const of = (name: string) => samples(page, name)[labels]
    return (
      Number(of('rabbitmq_detailed_queue_consumers')) === 1 &&
      Number(of('rabbitmq_detailed_queue_messages_unacked')) === 1
    )
  })
  for (const name of RABBITMQ_METRICS) {
    const found = Object.entries(samples(page, name))
    assert.ok(found.length > 0, name)
    if (name.includes('_alarms_')) assert.deepEqual(found, [['', '0']], name)
  }
})
