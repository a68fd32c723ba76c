import { chmodSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { type SharedServers, startSharedServers, TEST_SERVERS } from './stack/shared-servers.ts'
import { chooseStack } from './stack/stacks.ts'
import { onStopSignal } from './stack/stop-signals.ts'
import { spawnWatched } from './stack/watched.ts'

/**
 * `npm test`: the suite, on its own RabbitMQ and MariaDB. `npm run test:long`, `test:mysql`, `test:postgres` and
 * `test:clickhouse`: the rest, in the folders of these names. `npm test -- test/relay.test.ts` runs that file alone. Options of
 * `node --test` (`--name=value`) are passed on. `--stack=debian-13` uses the servers of that stack (stack/stacks.ts). With KEEP=1,
 * a failed run keeps the servers' files.
 */
const ROOT = join(import.meta.dirname, '..')
const ALL_TESTS = ['packages/*/src/**/*.test.ts', 'test/*.test.ts', 'tools/**/*.test.ts']
/** For a file that hangs: an open connection keeps it running, and no test's timeout covers that. */
const RUN_TIMEOUT_MS = 45 * 60_000

const MEMORY = '/dev/shm'
const LEAST_MEMORY_BYTES = 8 * 2 ** 30

const STACK_OPTION = '--stack='
const given = process.argv.slice(2)
const options = given.filter(argument => argument.startsWith('-') && !argument.startsWith(STACK_OPTION))
const stackName = given.findLast(argument => argument.startsWith(STACK_OPTION))?.slice(STACK_OPTION.length)
const files = given.filter(argument => !argument.startsWith('-'))

const say = (line: string) => console.log(`[npm test] ${line}`)
let keep = false
const folder = folderInMemory()
if (folder !== undefined) {
  process.env['TMPDIR'] = folder
  // Also if the servers do not start.
  process.on('exit', () => keep || rmSync(folder, { recursive: true, force: true }))
}

// Before the test run starts, a signal simply ends us, and everything we started.
const servers = await start().catch((error: Error) => {
  console.error(error.message)
  process.exit(1)
})
const run = spawnWatched(
  [
    process.execPath,
    '--test',
    '--test-concurrency=2',
    '--test-reporter=spec',
    ...options,
    ...(files.length > 0 ? files : ALL_TESTS),
  ],
  {
    cwd: ROOT,
    env: {
      ...process.env,
      [TEST_SERVERS]: JSON.stringify(servers.addresses),
      // As the programs set it. Without this cache, each thread of each open store compiles the store's code again.
      NODE_COMPILE_CACHE: join(ROOT, 'node_modules/.cache/postviews'),
    },
    output: 'inherit',
  },
)
onStopSignal(signal => run.child.kill(signal))
const timeout = setTimeout(() => {
  say(`Not done after ${RUN_TIMEOUT_MS / 60_000} minutes. Of the files below, those that began do not end.`)
  run.child.kill('SIGINT')
}, RUN_TIMEOUT_MS)

const { code } = await run.ended
clearTimeout(timeout)
keep = code !== 0 && process.env['KEEP'] === '1'
await servers.stop({ keep })
if (keep) say(`Kept for you to look at and remove: ${folder ?? servers.dirs.join(' ')}`)
process.exitCode = code ?? 1

/**
 * The tests make a thousand small databases. In memory, none waits for a disk that is slow to sync; servers and SQLite run with
 * the same settings as on a disk. Undefined where there is too little memory, or the caller has chosen a folder.
 */
function folderInMemory(): string | undefined {
  if (process.env['TMPDIR'] !== undefined) return undefined
  try {
    const { bavail, bsize } = statfsSync(MEMORY)
    if (bavail * bsize < LEAST_MEMORY_BYTES) return undefined
    const folder = mkdtempSync(join(MEMORY, 'postviews-test-'))
    // Some servers, and some tests, run as another user.
    chmodSync(folder, 0o711)
    return folder
  } catch {
    // Not on Linux, or not writable.
    return undefined
  }
}

async function start(): Promise<SharedServers> {
  if (stackName !== undefined) chooseStack(stackName)
  return startSharedServers(say)
}
