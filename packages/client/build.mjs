/**
 * Builds the JavaScript and types that others import: `node build.mjs`, into dist. It is JavaScript, so that any Node can run it:
 * `npm ci` runs it, and so do `npm start`, `npm test` and `npm pack` before they begin. With `--if-possible`, a missing compiler
 * (a development dependency) is not an error.
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

/** Builds into a new folder that then replaces dist, because another process may be importing it. */
function build(compiler) {
  const made = mkdtempSync(join(here, '.dist-'))
  try {
    const project = join(here, 'tsconfig.build.json')
    const tsc = join(dirname(compiler), 'bin/tsc')
    execFileSync(process.execPath, [tsc, '-p', project, '--outDir', made], { stdio: 'inherit' })
    // mkdtemp gives access to the owner only, but another user may import the package, such as a web server.
    chmodSync(made, 0o777 & ~process.umask())
    rmSync(dist, { recursive: true, force: true })
    renameSync(made, dist)
  } catch (error) {
    // A concurrent build has put the same files there.
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  } finally {
    rmSync(made, { recursive: true, force: true })
  }
}
