/**
 * `npm run test:stacks`: runs the tests that depend on the servers themselves, on each stack. `-- debian-13` runs all tests that
 * depend on a server, on that stack only. If Debian unstable cannot be installed today, it says so, and the other stacks decide
 * the result.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { EVERY_PART } from './stack/install.ts'
import { ensureParts, NotInstallableToday } from './stack/stack-install.ts'
import { rootOf, STACKS, type Stack, stackNamed } from './stack/stacks.ts'
import { onStopSignal } from './stack/stop-signals.ts'
import { ASKS_SERVER, NEEDS_SERVER, UPGRADE, VERSIONS } from './stack-tests.ts'

const said: string[] = []
const say = (line: string) => console.log(`[test:stacks] ${line}`)
const names = process.argv.slice(2)
let hasFailed = false
let running: ChildProcess | undefined
let isStopped = false
// The current run stops in order, with its servers. No other run begins.
onStopSignal(signal => {
  isStopped = true
  running?.kill(signal)
})

for (const stack of names.length > 0 ? names.map(stackNamed) : STACKS) {
  if (isStopped) break
  const startedAt = performance.now()
  const result = await tryStack(stack)
  const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1)
  said.push(`${stack.name.padEnd(16)} ${result}, ${minutes} min`)
}
for (const line of said) say(line)
process.exitCode = hasFailed || isStopped ? 1 : 0

async function tryStack(stack: Stack): Promise<string> {
  try {
    await ensureParts(EVERY_PART, stack, say)
  } catch (error) {
    say((error as Error).message)
    if (!(error instanceof NotInstallableToday)) hasFailed = true
    return 'could not be installed'
  }
  if (isStopped) return 'was not begun'
  const { code, passed, failed } = await runTests(stack, filesFor(stack))
  if (code !== 0) hasFailed = true
  return `${passed} passed, ${failed} failed`
}

function filesFor(stack: Stack): readonly string[] {
  // `npm test` already uses this machine's own servers.
  if (rootOf(stack) === null) return VERSIONS
  const files = names.length > 0 ? NEEDS_SERVER : ASKS_SERVER
  return stack.versionId === null ? [...files, ...UPGRADE] : files
}

/** Passes the run's output on, and counts its tests from the last lines. */
async function runTests(
  stack: Stack,
  files: readonly string[],
): Promise<{ code: number | null; passed: string; failed: string }> {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'test.ts'), `--stack=${stack.name}`, ...files],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  running = child
  const counts = new Map<string, string>()
  const ended = new Promise<number | null>(resolve => child.once('close', resolve))
  for await (const line of createInterface(child.stdout)) {
    console.log(line)
    const count = /(pass|fail) (\d+)$/.exec(line)
    if (count) counts.set(count[1]!, count[2]!)
  }
  return { code: await ended, passed: counts.get('pass') ?? 'none', failed: counts.get('fail') ?? 'none' }
}
