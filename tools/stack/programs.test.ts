/** A minimal Debian has few programs: those that tools and tests start are among them, or we install them. */

import assert from 'node:assert/strict'
import { glob, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { INSTALLED_PROGRAMS } from './install.ts'

const ROOT = join(import.meta.dirname, '../..')
const SOURCES = ['tools/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts', '{packages,examples}/*/src/**/*.test.ts']

/** From packages that every Debian has (`Essential: yes`), and what the README requires. */
const ALWAYS_THERE =
  'cat cp dpkg-query env head id npm nsenter prlimit sh sleep touch true truncate unshare'.split(' ')
const ELSEWHERE = new Map([
  ['apt-get', 'tools/stack/install.ts'], // Without it nothing can be installed.
  ['sudo', 'tools/stack/install.ts'], // Root does not need it.
  ['git', 'tools/copies.ts'], // The checkout was made with it.
])

test('every program that is started is in a minimal Debian, or we install it', async () => {
  const known = new Set([...ALWAYS_THERE, ...INSTALLED_PROGRAMS])
  const started = new Set<string>()
  for await (const path of glob(SOURCES, { cwd: ROOT })) {
    for (const program of programsIn(await readFile(join(ROOT, path), 'utf8'))) {
      started.add(program)
      assert.ok(known.has(program) || ELSEWHERE.get(program) === path, `${path} starts ${program}`)
    }
  }
  // The patterns find each way to start a program.
  for (const program of ['cp', 'head', 'mkfs.ext4', 'mount', 'php', 'strace', 'unshare']) {
    assert.ok(started.has(program), `nothing starts ${program}`)
  }
})

const CALL = /(?<![.\w])(?:spawn|execFile)(?:Sync)?\(\s*'([^']+)'/g
const LOOKED_FOR = /findProgram\('([^']+)'/g
/** A whole command line: `return ['unshare', '--mount', …]`. */
const COMMAND = /return \[\s*'([^' ]+)'/g
const SHELL_LINE = /(?:shell|terminal)\(\s*[`'](.*)[`']/g

function programsIn(source: string): string[] {
  const patterns = [CALL, LOOKED_FOR, COMMAND]
  for (const [, name] of source.matchAll(/const (\w+) = promisify\(execFile\)/g)) {
    patterns.push(new RegExp(`(?<![.\\w])${name}\\(\\s*'([^']+)'`, 'g'))
  }
  const lines = [...source.matchAll(SHELL_LINE)].flatMap(([, line]) => line!.split(/\||&&|;/))
  return [
    ...patterns.flatMap(pattern => [...source.matchAll(pattern)].map(([, program]) => program!)),
    ...lines.map(line => line.trim().split(' ')[0]!).filter(program => program !== 'postviews'),
  ].map(program => program.split('/').at(-1)!)
}
