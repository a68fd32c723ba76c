import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { isFree } from './ports.ts'
import { hasEnded, listeningAddresses } from './proc.ts'
import { type Rabbitmq, startRabbitmq } from './rabbitmq.ts'
import { StartFailed } from './server.ts'

describe('a private broker', () => {
  let broker: Rabbitmq
  let neighbour: Rabbitmq
  before(async () => {
    ;[broker, neighbour] = await Promise.all([startRabbitmq(), startRabbitmq({ management: false })])
  })
  after(async () => {
    await Promise.all([broker.stop(), neighbour.stop()])
  })

  test('listens on loopback alone, its distribution port and its epmd included', () => {
    const { amqp, distribution, management, epmd } = broker.ports
    assert.deepEqual(
      listeningAddresses(broker.pid),
      [amqp, distribution, management].map(port => `127.0.0.1:${port}`).sort(),
    )
    assert.deepEqual(
      listeningAddresses(broker.epmdPid).filter(address => address !== `[::1]:${epmd}`),
      [`127.0.0.1:${epmd}`],
    )
  })

  test('shares nothing with another that runs beside it', async () => {
    const vhost = await broker.vhost('only-here')
    assert.match(await broker.ctl('list_vhosts'), /^only-here$/m)
    assert.doesNotMatch(await neighbour.ctl('list_vhosts'), /only-here/)
    await vhost.delete()
    assert.doesNotMatch(await broker.ctl('list_vhosts'), /only-here/)
  })

  test('tells why a call of its API is refused', async () => {
    await assert.rejects(broker.api('GET', '/vhosts/none'), /GET \/vhosts\/none: 404/)
  })

  test('is the same node, with its queues and ports, after being killed', async () => {
    const { name } = await broker.vhost()
    await broker.api('PUT', `/queues/${name}/kept`, { durable: true })
    await broker.settle()
    const killed = broker.pid
    await broker.kill()
    assert.equal(hasEnded(killed), true)
    await broker.restart()
    const queue = await broker.api('GET', `/queues/${name}/kept`)
    assert.equal((queue as { durable?: boolean }).durable, true)
  })

  test('leaves no process, port or file after its stop', async () => {
    const { dir, pid, epmdPid, ports } = neighbour
    await neighbour.stop()
    assert.deepEqual([hasEnded(pid), hasEnded(epmdPid), existsSync(dir)], [true, true, false])
    for (const port of Object.values(ports)) assert.equal(await isFree(port), true)
  })
})

test('a broker that does not start says why, and leaves nothing', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'postviews-test-'))
  try {
    await assert.rejects(
      startRabbitmq({ dir, config: ['no_such_setting = 1'] }),
      (error: Error) => error instanceof StartFailed && /no_such_setting/.test(error.message),
    )
    await assert.rejects(startRabbitmq({ dir, config: ['no_such_setting = 1'] }), StartFailed)
  } finally {
    await rm(dir, { recursive: true })
  }
})
