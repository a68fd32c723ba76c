/** The publishing process dies: fault 20. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { DEAD_QUEUE, declareTopology, type TrackerStats, VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { takeNumbered } from './support/published.ts'
import { until } from './support/until.ts'

const PROGRAM = fileURLToPath(new URL('./support/tracking-process.ts', import.meta.url))

test('a killed process loses at most what it reported as pending', async () => {
  for (let time = 1; time <= 6; time++) {
    const { url } = await testRabbitmq()
    // It may die before it has declared anything.
    const connection = await connect(url)
    await declareTopology(connection, [VIEWS_QUEUE, DEAD_QUEUE])
    await connection.close()
    const child = spawn(process.execPath, [PROGRAM, url], { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', text => {
      output += text
    })
    const lastReport = (): TrackerStats | undefined => {
      const line = output.split('\n').at(-2)
      return line === undefined ? undefined : JSON.parse(line)
    }
    // Each time a little later: from before the first confirm to the middle of the flow.
    const enough = (time - 1) * 150
    await until('it publishes', () => (lastReport()?.confirmed ?? -1) >= enough)
    child.kill('SIGKILL')
    await once(child, 'close')

    const { accepted, confirmed, pending, dropped } = lastReport()!
    assert.equal(accepted, confirmed + pending + dropped)
    const there = await takeNumbered(url)
    let lost = 0
    for (let n = 1; n <= accepted; n++) if (!there.has(n)) lost++
    assert.ok(lost <= pending, `lost ${lost} of ${accepted}, ${pending} pending`)
  }
})
