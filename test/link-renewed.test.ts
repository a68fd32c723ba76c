import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { testRabbitmq } from '../tools/stack/for-tests.ts'

const run = promisify(execFile)

// A broker that refuses for days is asked on one channel after the other, all on one connection.
test('a connection keeps nothing of the channels that it had', async () => {
  const { url } = await testRabbitmq()
  const program = join(import.meta.dirname, 'support/renewals.ts')
  const { stdout } = await run(process.execPath, ['--expose-gc', program, url], { timeout: 60_000 })
  assert.ok(Number(stdout) <= 1, `${stdout} of 20 are left`)
})
