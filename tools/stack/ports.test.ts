import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { hold, holdFreePort, isFree } from './ports.ts'

test('a name that is held is not given to another run until it is released', async () => {
  const name = `test-${process.pid}`
  const held = await hold(name)
  assert.ok(held)
  assert.equal(await hold(name), undefined)
  held.release()
  const again = await hold(name)
  assert.ok(again)
  again.release()
})

test('a free port is given out once, and nothing listens on it', async () => {
  const ports = await Promise.all(Array.from({ length: 50 }, holdFreePort))
  assert.equal(new Set(ports.map(({ port }) => port)).size, 50)
  for (const { port, release } of ports) {
    assert.equal(await isFree(port), true)
    release()
  }
})

test('a port somebody listens on is not free', async () => {
  const { port, release } = await holdFreePort()
  const server = createServer()
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  assert.equal(await isFree(port), false)
  await new Promise(resolve => server.close(resolve))
  release()
})
