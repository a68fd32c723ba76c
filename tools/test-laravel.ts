/**
 * `npm run test:laravel`: tests packages/laravel on a real Laravel, with its own PHPUnit tests. It takes `--
 * test/laravel/faults.test.ts` and options of `node --test`, as `npm test` does. Its root is Debian unstable; if that cannot be
 * installed today, it says so.
 */

import { join } from 'node:path'
import { ensureInstalled } from './stack/install.ts'
import { ensureLaravelRoot } from './stack/laravel-root.ts'
import { NotInstallableToday } from './stack/stack-install.ts'
import { onStopSignal } from './stack/stop-signals.ts'
import { spawnWatched } from './stack/watched.ts'

const FILES = 'test/laravel/*.test.ts'
const given = process.argv.slice(2)
const hasFiles = given.some(argument => !argument.startsWith('-'))
const say = (line: string) => console.log(`[test:laravel] ${line}`)

try {
  await ensureInstalled(['phpcs'], say)
  await ensureLaravelRoot(say)
  process.exitCode = await runTests()
} catch (error) {
  say((error as Error).message)
  if (!(error instanceof NotInstallableToday)) process.exitCode = 1
}

async function runTests(): Promise<number> {
  const { child, ended } = spawnWatched(
    [process.execPath, join(import.meta.dirname, 'test.ts'), ...given, ...(hasFiles ? [] : [FILES])],
    { cwd: join(import.meta.dirname, '..'), env: process.env, output: 'inherit' },
  )
  onStopSignal(signal => child.kill(signal))
  return (await ended).code ?? 1
}
