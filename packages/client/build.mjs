/**
 * Makes what others import, JavaScript and types: `node build.mjs`, into dist. JavaScript itself, so that whatever Node npm
 * runs it by can: `npm ci` does, and `npm start`, `npm test` and `npm pack` before they begin. With `--if-possible` it is no
 * failure that the compiler, a development dependency, is not installed.
 */

import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const dist = join(here, 'dist')

const compiler = findCompiler()
if (compiler === undefined) {
  console.error(
    '@postviews/client was not built: TypeScript is not installed. The services run without; for others to import it: npm ci',
  )
  process.exit(process.argv.includes('--if-possible') ? 0 : 1)
}
build(compiler)

function findCompiler() {
  try {
    return createRequire(import.meta.url).resolve('typescript/package.json')
  } catch {
    return undefined // Installed without development dependencies.
  }
}

/** Beside what is there, and then in its place: somebody may be importing it. */
function build(compiler) {
  const made = mkdtempSync(join(here, '.dist-'))
  try {
    const project = join(here, 'tsconfig.build.json')
    const tsc = join(dirname(compiler), 'bin/tsc')
    execFileSync(process.execPath, [tsc, '-p', project, '--outDir', made], { stdio: 'inherit' })
    // Made for its owner alone; who imports it may be another user, as a web server is.
    chmodSync(made, 0o777 & ~process.umask())
    rmSync(dist, { recursive: true, force: true })
    renameSync(made, dist)
  } catch (error) {
    // Another build, at the same time, has put the same there.
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  } finally {
    rmSync(made, { recursive: true, force: true })
  }
}
