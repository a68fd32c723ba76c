import { closeSync, openSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { holdInstall } from './install.ts'
import { findProgram } from './programs.ts'
import { spawnWatched } from './watched.ts'

/** A package of its own: half a gigabyte, which only who needs a ClickHouse downloads. */
export const CLICKHOUSE_PACKAGE = join(import.meta.dirname, '..', 'clickhouse')

const LOCK_FILE = join(CLICKHOUSE_PACKAGE, 'package-lock.json')
/** What was installed, whole: npm removes it together with the rest before it installs anything. */
const INSTALLED = join(CLICKHOUSE_PACKAGE, 'node_modules', '.installed-package-lock.json')

/**
 * Makes sure that ClickHouse is there, by npm, in the version of the lock file.
 * @param say takes one line for every step that is not already done
 * @throws {Error} with what npm said
 */
export async function ensureClickhouse(say: (line: string) => void): Promise<void> {
  if (await isInstalled()) return
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error('the ClickHouse of the tests is there for Linux on x86-64 alone')
  }
  const turn = await holdInstall(say)
  try {
    // Another run may have installed it while we waited for our turn.
    if (await isInstalled()) return
    say('Installing ClickHouse for the tests (550 MB; npm ci in tools/clickhouse) ...')
    const startedAt = performance.now()
    await npmCi()
    await writeFile(INSTALLED, await readFile(LOCK_FILE))
    say(`ClickHouse is installed after ${((performance.now() - startedAt) / 1000).toFixed(0)} s.`)
  } finally {
    turn.release()
  }
}

async function isInstalled(): Promise<boolean> {
  const [wanted, installed] = await Promise.all([
    readFile(LOCK_FILE, 'utf8'),
    readFile(INSTALLED, 'utf8').catch(() => undefined), // Never installed, or not to the end.
  ])
  return wanted === installed
}

async function npmCi(): Promise<void> {
  const npm = findProgram('npm')
  if (!npm) throw new Error('ClickHouse cannot be installed: there is no npm')
  const dir = await mkdtemp(join(tmpdir(), 'postviews-npm-'))
  const logFile = join(dir, 'npm.log')
  const output = openSync(logFile, 'a')
  try {
    // If we are killed, npm does not go on beside the next run's.
    const { ended } = spawnWatched([npm, 'ci', `--prefix=${CLICKHOUSE_PACKAGE}`], {
      cwd: CLICKHOUSE_PACKAGE,
      env: process.env,
      output,
      removeDir: dir,
    })
    const { why, code } = await ended
    if (code !== 0) {
      const lines = (await readFile(logFile, 'utf8')).trimEnd().split('\n').slice(0, 12)
      // The cause comes first, and then how to use npm.
      throw new Error(`npm could not install ClickHouse (${why}):\n  | ${lines.join('\n  | ')}`)
    }
  } finally {
    closeSync(output)
    await rm(dir, { recursive: true, force: true })
  }
}
