import { join } from 'node:path'
import { type SharedServers, startSharedServers, TEST_SERVERS } from './stack/shared-servers.ts'
import { chooseStack } from './stack/stacks.ts'
import { onStopSignal } from './stack/stop-signals.ts'
import { spawnWatched } from './stack/watched.ts'

/**
 * `npm test`: the suite, against one RabbitMQ and one MariaDB of its own; `npm run test:long` and `npm run
 * test:clickhouse`: the rest, in `test/long` and `test/clickhouse`.
 * `npm test -- test/relay.test.ts` runs that file alone; options of `node --test` (`--name=value`) are passed on; `--stack=debian-13`
 * takes the servers of that stack (stack/stacks.ts). With KEEP=1 a failed run leaves the servers' files.
 */
const ROOT = join(import.meta.dirname, '..')
const ALL_TESTS = ['packages/*/src/**/*.test.ts', 'test/*.test.ts', 'tools/**/*.test.ts']
/** For a file that hangs: a connection left open keeps it from ending, and no timeout of a test covers that. */
const RUN_TIMEOUT_MS = 30 * 60_000

const STACK_OPTION = '--stack='
const given = process.argv.slice(2)
const options = given.filter(argument => argument.startsWith('-') && !argument.startsWith(STACK_OPTION))
const stackName = given.findLast(argument => argument.startsWith(STACK_OPTION))?.slice(STACK_OPTION.length)
const files = given.filter(argument => !argument.startsWith('-'))

const say = (line: string) => console.log(`[npm test] ${line}`)

// Until there is a test run to pass it on to, a signal simply ends us, and everything we started with us.
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
      // As the programs have it: without it each thread of each store that is opened compiles the store anew.
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
const keep = code !== 0 && process.env['KEEP'] === '1'
await servers.stop({ keep })
if (keep) say(`Kept for you to look at and remove: ${servers.dirs.join(' ')}`)
process.exitCode = code ?? 1

async function start(): Promise<SharedServers> {
  if (stackName !== undefined) chooseStack(stackName)
  return startSharedServers(say)
}
