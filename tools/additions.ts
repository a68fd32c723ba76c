import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { copyCheckout, gitApply } from './copies.ts'
import { onStopSignal } from './stack/stop-signals.ts'
import { spawnWatched } from './stack/watched.ts'

/**
 * `npm run test:additions`: makes the additions that CONTRIBUTING.md describes: a figure, a field, and so on. Each one is a patch
 * in test/additions, or a file given as an argument, and starts with comment lines:
 *
 *     # Adds a figure: people, the views by no known bot.
 *     # run: test/store-sqlite.test.ts
 *     # at most: 5 files
 *
 * It applies the patch to a copy of the checkout. There the code has to compile (tests aside), and the tests that it names have
 * to pass.
 */
type Addition = { patch: string; title: string; run: string[]; most: number; files: number }

const ROOT = join(import.meta.dirname, '..')
const PATCHES = join(ROOT, 'test', 'additions')
const RUN_TIMEOUT_MS = 20 * 60_000

const exec = promisify(execFile)
const say = (line: string) => console.log(`[test:additions] ${line}`)

process.exitCode = await main().catch((error: Error) => {
  console.error(error.message)
  return 1
})

async function main(): Promise<number> {
  const given = process.argv.slice(2)
  const found = (await readdir(PATCHES)).filter(name => name.endsWith('.patch')).sort()
  const patches = given.length > 0 ? given.map(file => resolve(file)) : found.map(name => join(PATCHES, name))
  const additions = await Promise.all(patches.map(readAddition))
  let failed = 0
  for (const addition of additions) {
    const problem = await problemWith(addition)
    if (problem !== undefined) failed++
    const { patch, title, files, most } = addition
    say(`${problem === undefined ? '✔' : '✖'} ${basename(patch)}, ${files} files of ${most}: ${title}`)
    if (problem !== undefined) console.log(problem.trimEnd().replace(/^/gm, '    '))
  }
  return failed === 0 ? 0 : 1
}

/** @throws {Error} when a patch lacks one of these lines */
async function readAddition(patch: string): Promise<Addition> {
  const text = await readFile(patch, 'utf8')
  const lines = /^(?:#.*\n)*/
    .exec(text)![0]
    .split('\n')
    .map(line => line.replace(/^#\s*/, ''))
  const run = lines.filter(line => line.startsWith('run: ')).map(line => line.slice(5))
  const most = Number.parseInt(lines.find(line => line.startsWith('at most: '))?.slice(9) ?? '', 10)
  if (!lines[0] || run.length === 0 || Number.isNaN(most)) {
    throw new Error(`${patch}: starts with "# what is added", "# run: file" and "# at most: N files" lines`)
  }
  return { patch, title: lines[0], run, most, files: filesOf(text) }
}

/** Migrations count as one file, however many engines there are. Documents and generated files do not count. */
function filesOf(patch: string): number {
  const paths = [...patch.matchAll(/^diff --git a\/(\S+)/gm)].map(([, path]) => path!)
  const counted = paths.filter(path => !/\.(?:md|json|yaml)$|schema\.sql$/.test(path))
  return new Set(counted.map(path => (path.includes('/migrations/') ? 'migrations' : path))).size
}

async function problemWith({ patch, run, files, most }: Addition): Promise<string | undefined> {
  if (files > most) return `touches ${files} files`
  const folder = await mkdtemp(join(tmpdir(), 'postviews-additions-'))
  try {
    const copy = join(folder, 'copy')
    await copyCheckout(copy)
    await gitApply(copy, [patch])
    await exec('npm', ['run', '--silent', 'build'], { cwd: copy })
    // Tests that spell out whole answers would have to name the addition, too.
    const product = { extends: './tsconfig.json', include: ['packages/*/src'], exclude: ['**/*.test.ts'] }
    await writeFile(join(copy, 'tsconfig.product.json'), JSON.stringify(product))
    await exec('npm', ['exec', '--', 'tsc', '--noEmit', '-p', 'tsconfig.product.json'], { cwd: copy })
    const { child, ended } = spawnWatched([process.execPath, 'tools/test.ts', ...run], {
      cwd: copy,
      env: process.env,
      output: 'inherit',
    })
    onStopSignal(signal => child.kill(signal))
    const timeout = setTimeout(() => child.kill('SIGINT'), RUN_TIMEOUT_MS)
    const { code, why } = await ended
    clearTimeout(timeout)
    return code === 0 ? undefined : `the tests end with ${why}`
  } catch (error) {
    const { stdout = '', stderr = '', message } = error as Error & { stdout?: string; stderr?: string }
    return [message, stdout, stderr].join('\n')
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }
}
