import { closeSync, openSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { holdInstall } from './install.ts'
import { findProgram } from './programs.ts'
import { spawnWatched } from './watched.ts'

/** A package of the registry that tests and measurements need, too large to be a dependency of the root. */
export interface RegistryPackage {
  /** Holds package.json and package-lock.json; their dependencies are installed there. */
  folder: string
  /** The name in messages: `ClickHouse`. */
  name: string
  /** The size of the download: `550 MB`. */
  size: string
}

/**
 * Makes sure that the packages of the lock file are installed, by npm.
 * @param say is called with a line of text for each step that has to be done
 * @throws {Error} with npm's output
 */
export async function ensurePackage(wanted: RegistryPackage, say: (line: string) => void): Promise<void> {
  const { folder, name, size } = wanted
  const lockFile = join(folder, 'package-lock.json')
  /** Exists only after a complete installation: npm removes it with everything else before it installs. */
  const installed = join(folder, 'node_modules', '.installed-package-lock.json')
  if (await isSame(lockFile, installed)) return
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(`the ${name} of the tests is there for Linux on x86-64 alone`)
  }
  const turn = await holdInstall(say)
  try {
    // Another run may have installed it while we waited for the lock.
    if (await isSame(lockFile, installed)) return
    say(`Installing ${name} for the tests (${size}; npm ci in ${folder}) ...`)
    const startedAt = performance.now()
    await npmCi(wanted)
    await writeFile(installed, await readFile(lockFile))
    say(`Installed ${name} in ${((performance.now() - startedAt) / 1000).toFixed(0)} s.`)
  } finally {
    turn.release()
  }
}

async function isSame(lockFile: string, installed: string): Promise<boolean> {
  const [wanted, there] = await Promise.all([
    readFile(lockFile, 'utf8'),
    readFile(installed, 'utf8').catch(() => undefined), // It was never installed, or not completely.
  ])
  return wanted === there
}

async function npmCi({ folder, name }: RegistryPackage): Promise<void> {
  const npm = findProgram('npm')
  if (!npm) throw new Error(`${name} cannot be installed: there is no npm`)
  const dir = await mkdtemp(join(tmpdir(), 'postviews-npm-'))
  const logFile = join(dir, 'npm.log')
  const output = openSync(logFile, 'a')
  try {
    // If this process is killed, its npm must end too, because the next run starts one in the same folder.
    const { ended } = spawnWatched([npm, 'ci', `--prefix=${folder}`], {
      cwd: folder,
      env: process.env,
      output,
      removeDir: dir,
    })
    const { why, code } = await ended
    if (code !== 0) {
      const lines = (await readFile(logFile, 'utf8')).trimEnd().split('\n').slice(0, 12)
      // The cause comes first, before npm's usage hints.
      throw new Error(`npm could not install ${name} (${why}):\n  | ${lines.join('\n  | ')}`)
    }
  } finally {
    closeSync(output)
    await rm(dir, { recursive: true, force: true })
  }
}
