/** Brings the servers of a stack, or this machine's own. */

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ensureInstalled, holdInstall, type Part } from './install.ts'
import { commandIn, rootOf, type Stack } from './stacks.ts'

/** What a stack has in place of this machine's packages. */
const SERVERS: readonly Part[] = ['rabbitmq', 'mariadb']

/**
 * Makes sure that the parts are installed: the servers among them as the stack has them, the others on this machine.
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
  await ensureRoot(stack, say)
}

const run = promisify(execFile)
const INSTALL_TIMEOUT_MS = 15 * 60_000

/**
 * Makes sure that the stack's root is there, with its servers: half a minute, and 440 to 700 MB that stay in the cache folder.
 * Whoever wants newer versions of them removes that folder.
 * @throws {Error} whose message says what is not allowed here, or what failed
 */
async function ensureRoot(stack: Stack, say: (line: string) => void): Promise<void> {
  const root = rootOf(stack)
  if (root === null || existsSync(root)) return
  if (process.getuid?.() !== 0) {
    throw new Error(
      `--stack=${stack.name} needs root: its servers are installed into ${root} (debootstrap) and run from there (chroot). This machine's own servers need no --stack.`,
    )
  }
  await ensureDebianRoot(stack, root, say).catch((error: Error) => {
    throw stack.versionId === null ? new NotInstallableToday(error.message, { cause: error }) : error
  })
}

/** A release that moves has days on which its packages do not fit each other, for which nothing of ours is to blame. */
export class NotInstallableToday extends Error {}

/**
 * Makes sure that a Debian with these packages is in the folder; as root alone.
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
    // Under its name only when it is whole.
    const unfinished = `${root}.unfinished`
    await rm(unfinished, { recursive: true, force: true })
    await mkdir(unfinished, { recursive: true })
    await step(stack, ['debootstrap', '--variant=minbase', stack.suite, unfinished])
    // No service is started by a package, and names are found as they are here: without localhost no RabbitMQ starts.
    await writeFile(join(unfinished, 'usr/sbin/policy-rc.d'), '#!/bin/sh\nexit 101\n', { mode: 0o755 })
    for (const file of ['/etc/hosts', '/etc/resolv.conf']) await copyFile(file, unfinished + file)
    const aptGet = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q', '-y']
    const install = [...aptGet, 'install', '--no-install-recommends', ...stack.packages]
    if (stack.packages.length > 0) await step(stack, commandIn(unfinished, '/tmp', install))
    await rm(join(unfinished, 'var/cache/apt/archives'), { recursive: true, force: true })
    await rename(unfinished, root)
  } finally {
    turn.release()
  }
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
