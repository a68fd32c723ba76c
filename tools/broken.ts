import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { run } from 'node:test'
import { copyCheckout, gitApply } from './copies.ts'
import { startSharedServers, TEST_SERVERS } from './stack/shared-servers.ts'
import { onStopSignal } from './stack/stop-signals.ts'

/**
 * `npm run test:broken`: a test that cannot fail proves nothing, so this program breaks the code on purpose, one mistake at a time,
 * in copies of the checkout. The tests that a mistake names must notice it. The mistakes are test/broken/*.patch, or the files
 * given as arguments. Each one is the output of `git diff` below comment lines:
 *
 *     # Acknowledges a delivery before its batch is committed.
 *     # run: test/faults.test.ts
 *     # red: loses nothing when the consumer is killed
 *
 * `run` names a test file (or a pattern), and `red` the name of a test that must fail because of the mistake. Both may occur
 * several times. A failure of another test is not enough: a patch that only breaks the syntax would cause one, too.
 */
type Mistake = { patch: string; title: string; run: string[]; red: string[] }

type Outcome = { passed: Set<string>; failed: Set<string>; failures: string[] }

const ROOT = join(import.meta.dirname, '..')
const PATCHES = join(ROOT, 'test', 'broken')
const RUN_TIMEOUT_MS = 10 * 60_000
/** Copies of the checkout, each of which tries one mistake at a time. */
const COPIES = 2

const say = (line: string) => console.log(`[test:broken] ${line}`)
const stop = new AbortController()
onStopSignal(signal => stop.abort(new Error(`stopped by ${signal}`)))

process.exit(await main().catch(tell))

function tell(error: Error): number {
  console.error(error.message)
  return 1
}

async function main(): Promise<number> {
  const mistakes = await readMistakes(process.argv.slice(2))
  const servers = await startSharedServers(say)
  process.env[TEST_SERVERS] = JSON.stringify(servers.addresses)
  const folder = await mkdtemp(join(tmpdir(), 'postviews-broken-'))
  try {
    const copies = Array.from({ length: COPIES }, (_, nth) => join(folder, `copy-${nth}`))
    for (const copy of copies) await copyCheckout(copy)
    await mustBeGreen(copies[0]!, mistakes)
    const left = mistakes.values()
    const unnoticed = await Promise.all(copies.map(copy => unnoticedOf(left, copy)))
    const noticed = unnoticed.reduce((rest, count) => rest - count, mistakes.length)
    say(`${noticed} of ${mistakes.length} mistakes are noticed.`)
    return noticed === mistakes.length ? 0 : 1
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
    await servers.stop()
  }
}

/** Tries one mistake after the other in a copy, until none is left. Returns how many went unnoticed. */
async function unnoticedOf(left: Iterable<Mistake>, copy: string): Promise<number> {
  let unnoticed = 0
  for (const mistake of left) {
    const startedAt = performance.now()
    const problem = await problemWith(copy, mistake)
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
    if (problem) unnoticed++
    say(`${problem ? '✖' : '✔'} ${basename(mistake.patch)} (${seconds} s): ${mistake.title}`)
    if (problem) console.log(problem.trimEnd().replace(/^/gm, '    '))
  }
  return unnoticed
}

/** @throws {Error} when a patch lacks one of these lines */
async function readMistakes(given: string[]): Promise<Mistake[]> {
  const found = (await readdir(PATCHES).catch(() => [])).filter(name => name.endsWith('.patch')).sort()
  const patches = given.length > 0 ? given.map(file => resolve(file)) : found.map(name => join(PATCHES, name))
  if (patches.length === 0) throw new Error(`no *.patch in ${PATCHES}`)
  return await Promise.all(
    patches.map(async patch => {
      const header = /^(?:#.*\n)*/.exec(await readFile(patch, 'utf8'))?.[0] ?? ''
      const lines = header.split('\n').map(line => line.replace(/^#\s*/, ''))
      const valuesOf = (key: string) =>
        lines.filter(line => line.startsWith(`${key}:`)).map(line => line.slice(key.length + 1).trim())
      const mistake = { patch, title: lines[0] ?? '', run: valuesOf('run'), red: valuesOf('red') }
      if (!mistake.title || mistake.run.length === 0 || mistake.red.length === 0) {
        throw new Error(`${patch}: starts with "# what is wrong", "# run: file" and "# red: test" lines`)
      }
      return mistake
    }),
  )
}

/** @throws {Error} unless every test that the mistakes name runs and passes without them */
async function mustBeGreen(copy: string, mistakes: Mistake[]): Promise<void> {
  const files = new Set(mistakes.flatMap(mistake => mistake.run))
  const names = mistakes.flatMap(mistake => mistake.red)
  const { passed, failures } = await runTests(copy, [...files], names)
  if (failures.length > 0) throw new Error(`These fail without any mistake:\n${failures.join('\n')}`)
  const unknown = names.filter(name => !passed.has(name))
  if (unknown.length > 0) throw new Error(`No test that ran is called:\n${unknown.join('\n')}`)
  say(`Unbroken, ${passed.size} tests pass.`)
}

/** Why the mistake counts as unnoticed; undefined if the tests that it names failed. */
async function problemWith(copy: string, mistake: Mistake): Promise<string | undefined> {
  try {
    await gitApply(copy, [mistake.patch])
  } catch (error) {
    return `does not apply: ${(error as { stderr?: string }).stderr ?? error}`
  }
  try {
    const { failed, failures } = await runTests(copy, mistake.run, mistake.red)
    const green = mistake.red.filter(name => !failed.has(name))
    if (green.length === 0) return undefined
    return [
      ...green.map(name => `did not fail: ${name}`),
      ...failures.map(failure => `failed instead: ${failure}`),
    ].join('\n')
  } finally {
    await gitApply(copy, ['--reverse', mistake.patch])
  }
}

/** Runs only the tests of these names in the files: the others would only take time. */
async function runTests(copy: string, files: string[], names: string[]): Promise<Outcome> {
  const outcome: Outcome = { passed: new Set(), failed: new Set(), failures: [] }
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(RUN_TIMEOUT_MS)])
  const testNamePatterns = names.map(name => new RegExp(`(^| )${RegExp.escape(name)}$`))
  const events = run({ cwd: copy, globPatterns: files, testNamePatterns, concurrency: 2, signal })
  events.on('test:pass', ({ name, details }) => {
    if (details.type !== 'suite') outcome.passed.add(name)
  })
  events.on('test:fail', ({ name, details }) => {
    const { error } = details
    // The test itself failed: it was not cancelled, and no hook or whole file failed to run.
    const { failureType } = error as { failureType?: string }
    if (failureType === 'testCodeFailure') outcome.failed.add(name)
    outcome.failures.push(`${name}: ${(error.cause as Error | undefined)?.message ?? error.message}`)
  })
  for await (const _ of events) {
    // The listeners above do the work, but the run goes on only while its events are read.
  }
  stop.signal.throwIfAborted()
  if (signal.aborted) outcome.failures.push(`not done after ${RUN_TIMEOUT_MS / 60_000} minutes`)
  return outcome
}
