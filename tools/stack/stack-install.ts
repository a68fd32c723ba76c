/** Installs the servers of a stack, or this machine's own. */

import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { copyFile, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ensureInstalled, holdInstall, type Part } from './install.ts'
import { commandIn, rootOf, type Stack } from './stacks.ts'

/** The parts that a stack has in its own root, in place of this machine's packages. */
const SERVERS: readonly Part[] = ['rabbitmq', 'mariadb', 'postgres']

/**
 * Makes sure that the parts are installed: the servers in the stack's root, all others on this machine.
 * @param say is called with a line of text for each step that has to be done
 * @throws {Error} whose message says what is not allowed here, or what to install by hand
 */
export async function ensureParts(
  parts: readonly Part[],
  stack: Stack | null,
  say: (line: string) => void,
): Promise<void> {
  if (stack === null || rootOf(stack) === null) return ensureInstalled([...parts], say)
  await ensureInstalled(
    parts.filter(part => !SERVERS.includes(part)),
    say,
  )
  await ensureRoot(stack, say, { withPostgres: parts.includes('postgres') })
}

const run = promisify(execFile)
const INSTALL_TIMEOUT_MS = 15 * 60_000

/**
 * Makes sure that the stack's root exists, with its servers: half a minute, and 440 to 700 MB that stay in the cache folder.
 * PostgreSQL is added to it when it is first asked for. Remove that folder to get newer versions.
 * @throws {Error} whose message says what is not allowed here, or what failed
 */
async function ensureRoot(
  stack: Stack,
  say: (line: string) => void,
  { withPostgres }: { withPostgres: boolean },
): Promise<void> {
  const root = rootOf(stack)
  if (root === null) return
  const lacksPostgres = withPostgres && !hasPostgres(root)
  if (existsSync(root) && !lacksPostgres) return
  if (process.getuid?.() !== 0) {
    throw new Error(
      `--stack=${stack.name} needs root: its servers are installed into ${root} (debootstrap) and run from there (chroot). This machine's own servers need no --stack.`,
    )
  }
  try {
    await ensureDebianRoot(stack, root, say)
    if (lacksPostgres) await addPostgres(stack, root, say)
  } catch (error) {
    const { message } = error as Error
    throw stack.versionId === null ? new NotInstallableToday(message, { cause: error }) : error
  }
}

/** Asks dpkg, whose answer is yes only when all is done: the programs are there before that. */
function hasPostgres(root: string): boolean {
  const packages = join(root, 'var/lib/dpkg/status')
  if (!existsSync(packages)) return false
  return /^Package: postgresql\nStatus: install ok installed$/m.test(readFileSync(packages, 'utf8'))
}

async function addPostgres(stack: Stack, root: string, say: (line: string) => void): Promise<void> {
  const turn = await holdInstall(say)
  try {
    if (hasPostgres(root)) return
    say(`Installing postgresql into ${root} ...`)
    // A run that was killed may have left it half installed.
    await step(stack, commandIn(root, '/tmp', ['dpkg', '--configure', '-a']))
    // The root's lists may name versions that Debian no longer has. Old ones are often enough; if they are not, the installation
    // fails and says so.
    await step(stack, commandIn(root, '/tmp', [...APT_GET, 'update'])).catch(() => {})
    await installIn(root, stack, ['postgresql'])
  } finally {
    turn.release()
  }
}

/** On some days, the packages of a rolling release do not fit each other. That is not our fault. */
export class NotInstallableToday extends Error {}

/**
 * Installs a Debian with these packages into the folder, unless it is there already. Works only as root.
 * @throws {Error} whose message says what failed
 */
export async function ensureDebianRoot(
  stack: Pick<Stack, 'name' | 'suite' | 'packages'>,
  root: string,
  say: (line: string) => void,
): Promise<void> {
  if (existsSync(root)) return
  await ensureInstalled(['debootstrap'], say)
  const turn = await holdInstall(say)
  try {
    if (existsSync(root)) return
    say(
      `Installing ${[`${stack.name} (Debian ${stack.suite})`, ...stack.packages].join(', ')} into ${root} ...`,
    )
    // It gets its final name only when it is complete.
    const unfinished = `${root}.unfinished`
    await rm(unfinished, { recursive: true, force: true })
    await mkdir(unfinished, { recursive: true })
    await step(stack, ['debootstrap', '--variant=minbase', stack.suite, unfinished])
    // Packages must not start services. Name resolution is this machine's: without localhost, RabbitMQ does not start.
    await writeFile(join(unfinished, 'usr/sbin/policy-rc.d'), '#!/bin/sh\nexit 101\n', { mode: 0o755 })
    for (const file of ['/etc/hosts', '/etc/resolv.conf']) await copyFile(file, unfinished + file)
    await installIn(unfinished, stack, stack.packages)
    await rename(unfinished, root)
  } finally {
    turn.release()
  }
}

const APT_GET = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q', '-y']

async function installIn(
  root: string,
  stack: Pick<Stack, 'name'>,
  packages: readonly string[],
): Promise<void> {
  const install = [...APT_GET, 'install', '--no-install-recommends', ...packages]
  if (packages.length > 0) await step(stack, commandIn(root, '/tmp', install))
  await rm(join(root, 'var/cache/apt/archives'), { recursive: true, force: true })
}

async function step(stack: Pick<Stack, 'name'>, [program, ...args]: string[]): Promise<void> {
  try {
    await run(program!, args, { timeout: INSTALL_TIMEOUT_MS, maxBuffer: 64 * 1024 * 1024 })
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    const said = `${stdout}\n${stderr}`.trim().split('\n').slice(-12)
    throw new Error(
      `${stack.name} could not be installed (${program}):\n${said.map(line => `  | ${line}`).join('\n')}`,
      { cause: error },
    )
  }
}
