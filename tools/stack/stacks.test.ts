import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { commandIn, rootOf, STACKS, stackNamed } from './stacks.ts'

const run = promisify(execFile)
const TEST = join(import.meta.dirname, '..', 'test.ts')
const NOBODY = 65_534

test('a stack that there is not is refused with the names of those that there are', async () => {
  await assert.rejects(run(process.execPath, [TEST, '--stack=debian-11']), (error: Error) => {
    const { code, stderr } = error as Error & { code: number; stderr: string }
    assert.equal(code, 1)
    assert.equal(stderr, 'There is no stack debian-11: debian-12, debian-13, debian-unstable.\n')
    return true
  })
})

test('where a stack may not be installed, one line says what it needs', async () => {
  // Drops its privileges after loading, because only root may be able to read the checkout.
  const program = `
    import { ensureParts } from ${JSON.stringify(join(import.meta.dirname, 'stack-install.ts'))}
    import { stackNamed } from ${JSON.stringify(join(import.meta.dirname, 'stacks.ts'))}
    if (process.getuid() === 0) process.setuid(${NOBODY})
    await ensureParts(['rabbitmq'], stackNamed('debian-unstable'), console.log).catch(error => console.error(error.message))`
  const env = { ...process.env, XDG_CACHE_HOME: '/nonexistent' }
  const { stderr } = await run(process.execPath, ['--input-type=module', '--eval', program], { env })
  assert.match(stderr, /^--stack=debian-unstable needs root: .*debootstrap.*\n$/)
})

test("the servers of this machine's own release are taken from this machine", () => {
  for (const stack of STACKS) {
    const root = rootOf(stack)
    if (root === null) assert.notEqual(stack.versionId, null)
    else assert.ok(root.endsWith(`/stacks/${stack.name}`))
  }
  assert.deepEqual(commandIn(null, '/tmp', ['epmd', '-names']), ['epmd', '-names'])
  assert.equal(stackNamed('debian-unstable').sqlName, 'MySQL')
})
