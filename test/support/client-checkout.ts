/** @postviews/client in its own clone, as `npm ci` leaves it, for tests that import it as users do. */

import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, realpath, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve, sep } from 'node:path'
import { promisify } from 'node:util'

const ROOT = resolve(import.meta.dirname, '../..')
const run = promisify(execFile)

export interface ClientCheckout {
  /** The clone. A file saved there imports the built package, on any Node. */
  folder: string
  /** packages/client in the clone. */
  client: string
  remove(): Promise<void>
}

/** The source is copied, not linked, so that npm builds its own `dist`. */
export async function clientCheckout(): Promise<ClientCheckout> {
  const folder = await mkdtemp(join(await realpath(tmpdir()), 'postviews-clone-'))
  const client = join(folder, 'packages/client')
  const isBuilt = join(ROOT, 'packages/client/dist')
  await cp(join(ROOT, 'packages/client'), client, {
    recursive: true,
    filter: path => path !== isBuilt && !path.startsWith(isBuilt + sep),
  })
  for (const name of ['package.json', 'tsconfig.json']) await cp(join(ROOT, name), join(folder, name))
  const modules = join(folder, 'node_modules')
  await mkdir(join(modules, '@postviews'), { recursive: true })
  for (const name of await readdir(join(ROOT, 'node_modules'))) {
    if (name !== '@postviews') await symlink(join(ROOT, 'node_modules', name), join(modules, name))
  }
  await symlink(client, join(modules, '@postviews/client'))
  // `npm ci` runs this after the installation.
  await run('npm', ['run', '--silent', 'prepare'], { cwd: folder })
  return { folder, client, remove: () => rm(folder, { recursive: true }) }
}
