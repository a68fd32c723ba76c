import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { isFree } from './ports.ts'
import { hasEnded } from './proc.ts'

type Started = { pids: number[]; dirs: string[]; ports: number[] }

/** Starts one server of each kind, prints where they are, and then waits for ever. */
const STARTER = `
import { startClickhouse } from '${join(import.meta.dirname, 'clickhouse.ts')}'
import { startMysql } from '${join(import.meta.dirname, 'mysql.ts')}'
import { startRabbitmq } from '${join(import.meta.dirname, 'rabbitmq.ts')}'
const [r, m, c] = await Promise.all([startRabbitmq({ management: false }), startMysql(), startClickhouse()])
const pids = [r.pid, r.epmdPid, m.pid, c.pid]
const ports = [...Object.values(r.ports), m.port, c.port, c.nativePort]
console.log(JSON.stringify({ pids, dirs: [r.dir, m.dir, c.dir], ports }))
setInterval(() => {}, 60_000)
`

test('nothing is left of the servers whose starter was killed', async () => {
  const starter = spawn(process.execPath, ['--input-type=module', '-e', STARTER], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(createInterface(starter.stdout), 'line')) as [string]
  const { pids, dirs, ports } = JSON.parse(line) as Started
  assert.deepEqual(
    pids.map(hasEnded),
    pids.map(() => false),
  )

  starter.kill('SIGKILL')

  const isLeft = async () => {
    const free = await Promise.all(ports.map(isFree))
    return {
      running: pids.filter(pid => !hasEnded(pid)),
      dirs: dirs.filter(dir => existsSync(dir)),
      ports: ports.filter((_, n) => !free[n]),
    }
  }
  const nothing = { running: [], dirs: [], ports: [] }
  const deadline = Date.now() + 10_000
  let left = await isLeft()
  while (!isDeepStrictEqual(left, nothing) && Date.now() < deadline) {
    await sleep(20)
    left = await isLeft()
  }
  assert.deepEqual(left, nothing)
})
