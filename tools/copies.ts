/** Copies of the checkout, for programs that change the code and run its tests. */

import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'

const ROOT = join(import.meta.dirname, '..')
const exec = promisify(execFile)

export async function gitApply(copy: string, args: string[]): Promise<void> {
  // The copy may lie inside another repository, and git would take paths from that one's root.
  const env = { ...process.env, GIT_CEILING_DIRECTORIES: dirname(copy) }
  await exec('git', ['apply', '--whitespace=nowarn', ...args], { cwd: copy, env })
}

/** Copies the checkout as it is on disk now, committed or not. */
export async function copyCheckout(copy: string): Promise<void> {
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const { stdout } = await exec('git', list, { cwd: ROOT })
  await mkdir(copy)
  for (const file of new Set(stdout.split('\0').filter(name => name !== ''))) {
    await cp(join(ROOT, file), join(copy, file), { verbatimSymlinks: true }).catch(unlessAbsent)
  }
  await linkModules(copy)
  // The built client, which others import, is for their tests.
  await exec('npm', ['run', '--silent', 'build'], { cwd: copy })
}

/** The file is tracked by git, and was removed from the checkout. */
function unlessAbsent(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}

/** Links every installed module; our own packages are linked to the copy's, so that a mistake in one reaches the others. */
async function linkModules(copy: string): Promise<void> {
  const packages = (await readdir(join(copy, 'packages'))).map(name => join('packages', name))
  for (const folder of ['.', 'tools/clickhouse', 'tools/nodes', ...packages]) {
    const installed = join(ROOT, folder, 'node_modules')
    const names = await readdir(installed).catch(() => [] as string[])
    if (names.length > 0) await mkdir(join(copy, folder, 'node_modules'))
    for (const name of names.filter(name => name !== '@postviews')) {
      await symlink(join(installed, name), join(copy, folder, 'node_modules', name))
    }
  }
  await mkdir(join(copy, 'node_modules', '@postviews'))
  for (const folder of packages) {
    await symlink(join(copy, folder), join(copy, 'node_modules', '@postviews', basename(folder)))
  }
}
