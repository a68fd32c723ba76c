/**
 * Named sets of servers that users run and this machine does not have. Each is a Debian root in a cache folder. Its servers are
 * started by `chroot` in a mount namespace that ends with them, so nothing of it is visible elsewhere.
 */

import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { findProgram } from './programs.ts'

export interface Stack {
  name: string
  /** Debian's name of the release. */
  suite: string
  /** `VERSION_ID` of the release in /etc/os-release: a machine with that release uses its own servers. */
  versionId: string | null
  sqlName: 'MariaDB' | 'MySQL'
  packages: readonly string[]
}

export const STACKS: readonly Stack[] = [
  {
    name: 'debian-12',
    suite: 'bookworm',
    versionId: '12',
    sqlName: 'MariaDB',
    packages: ['rabbitmq-server', 'mariadb-server-core', 'mariadb-client-core'],
  },
  {
    name: 'debian-13',
    suite: 'trixie',
    versionId: '13',
    sqlName: 'MariaDB',
    packages: ['rabbitmq-server', 'mariadb-server-core', 'mariadb-client-core'],
  },
  {
    name: 'debian-unstable',
    suite: 'sid',
    versionId: null,
    sqlName: 'MySQL',
    packages: ['rabbitmq-server', 'mysql-server-core'],
  },
]

/** The environment variable that passes the stack's name to child processes. */
const STACK = 'STACK'

/**
 * Chooses the stack for this program and all that it starts.
 * @throws {Error} for an unknown name
 */
export function chooseStack(name: string): void {
  process.env[STACK] = stackNamed(name).name
}

/** Null: the servers of this machine, whatever they are. */
export function chosenStack(): Stack | null {
  const name = process.env[STACK]
  return name === undefined || name === '' ? null : stackNamed(name)
}

export function stackNamed(name: string): Stack {
  const stack = STACKS.find(known => known.name === name)
  if (stack !== undefined) return stack
  throw new Error(`There is no stack ${name}: ${STACKS.map(known => known.name).join(', ')}.`)
}

/** The root with its servers; null if they are this machine's own. */
export function rootOf(stack: Stack | null): string | null {
  if (stack === null || stack.versionId === versionHere()) return null
  return join(cacheFolder('stacks'), stack.name)
}

function versionHere(): string | undefined {
  try {
    return /^VERSION_ID="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1]
  } catch {
    return undefined
  }
}

/** A folder for what takes long to make, and can be made again. */
export function cacheFolder(name: string): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'postviews', name)
}

const ENTER = `
root=$1 dir=$2; shift 2
for each in /proc /dev /tmp "$dir"; do mkdir -p "$root$each" && mount --rbind "$each" "$root$each" || exit 1; done
exec chroot "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$dir" "$@"
`

/** The command line that runs the command in the stack's root, as the same process. It sees /tmp and its working folder. */
export function commandIn(root: string | null, dir: string, command: readonly string[]): string[] {
  if (root === null) return [...command]
  return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', ENTER, 'sh', root, dir, ...command]
}

/** The full path of a stack's program inside the root; undefined if it is missing. */
export function findStackProgram(
  root: string | null,
  name: string,
  firstDirs: string[] = [],
): string | undefined {
  if (root === null) return findProgram(name, firstDirs)
  const dirs = [...firstDirs, '/usr/sbin', '/usr/bin']
  return dirs.map(dir => join(dir, name)).find(path => existsSync(root + path))
}
