import { execFile, execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { findChromium } from './chromium.ts'
import { hold } from './ports.ts'
import { findPostgres } from './postgres.ts'
import { findProgram } from './programs.ts'
import { findRabbitmq } from './rabbitmq-node.ts'

type Package = {
  /** Package names in Debian and Ubuntu. */
  packages: string[]
  /** The programs of these packages that tools and tests start. */
  programs: string[]
  /** Whether the part is installed. Default: whether its programs are there. */
  isThere?: () => boolean
}

/** What can be installed. A minimal Debian has none of it. */
const PARTS = {
  rabbitmq: {
    packages: ['rabbitmq-server'],
    programs: ['rabbitmq-server', 'rabbitmqctl', 'epmd'],
    isThere: () => findRabbitmq() !== undefined,
  },
  mariadb: {
    packages: ['mariadb-server-core', 'mariadb-client-core'],
    programs: ['mariadbd', 'mariadb-install-db', 'my_print_defaults'],
  },
  postgres: {
    packages: ['postgresql'],
    programs: [],
    isThere: () => findPostgres(null) !== undefined,
  },
  php: {
    packages: ['php-cli', 'php-amqplib', 'php-mbstring', 'php-mysql'],
    programs: ['php'],
    isThere: hasPhp,
  },
  // For packages/laravel. Debian has this style checker only up to release 12.
  phpcs: { packages: ['php-codesniffer'], programs: ['phpcs'] },
  pika: { packages: ['python3-pika'], programs: ['python3'], isThere: () => findPython() !== undefined },
  curl: { packages: ['curl'], programs: ['curl'] },
  'amqp-tools': { packages: ['amqp-tools'], programs: ['amqp-publish'] },
  chromium: {
    // Without any font, a browser draws no text.
    packages: ['chromium', 'fonts-dejavu-core'],
    programs: ['chromium'],
    isThere: () => findChromium() !== undefined,
  },
  // For power-cut tests on a disk in a file. Where none can be made, strace shows the order of syncs.
  disk: { packages: ['mount', 'e2fsprogs'], programs: ['mount', 'umount', 'mkfs.ext4'] },
  strace: { packages: ['strace'], programs: ['strace'] },
  // Scripts use it to talk to the relay's socket.
  socat: { packages: ['socat'], programs: ['socat'] },
  netcat: { packages: ['netcat-openbsd'], programs: ['nc.openbsd'] },
  // It does not run here; its tools check units and pass sockets.
  systemd: { packages: ['systemd'], programs: ['systemd-analyze', 'systemd-socket-activate'] },
  debootstrap: { packages: ['debootstrap'], programs: ['debootstrap'] },
  containers: {
    // netavark and aardvark-dns provide the networks and their names, and need iptables; runc, because crun does not support
    // cgroups version 1.
    packages: ['podman', 'buildah', 'runc', 'netavark', 'aardvark-dns', 'iptables', 'iproute2'],
    programs: ['podman', 'runc', 'iptables', 'ip'],
  },
  // With ClickHouse replicas, it decides which came first.
  zookeeper: {
    packages: ['libzookeeper-java', 'default-jre-headless'],
    programs: ['java'],
    isThere: () => findProgram('java') !== undefined && existsSync('/usr/share/java/zookeeper.jar'),
  },
} satisfies Record<string, Package>

export type Part = keyof typeof PARTS

const ONLY_ELSEWHERE: readonly Part[] = ['debootstrap', 'containers', 'phpcs', 'zookeeper', 'postgres']

/**
 * What `npm test` needs: every part, except those for other stacks, for containers, and for `npm run test:laravel`,
 * `test:clickhouse` and `test:postgres`.
 */
export const EVERY_PART = (Object.keys(PARTS) as Part[]).filter(part => !ONLY_ELSEWHERE.includes(part))

/** Every program that `ensureInstalled` can install. */
export const INSTALLED_PROGRAMS = Object.values(PARTS).flatMap(({ programs }) => programs)

const PHP_CHECK = `
require 'PhpAmqpLib/autoload.php';
exit(class_exists('PhpAmqpLib\\Connection\\AMQPStreamConnection') && extension_loaded('pdo_mysql') ? 0 : 1);
`

function hasPhp(): boolean {
  const php = findProgram('php')
  if (!php) return false
  try {
    execFileSync(php, ['-d', 'display_errors=0', '-r', PHP_CHECK], { stdio: 'ignore' })
    return true
  } catch {
    return false // PHP without the libraries: they have to be installed.
  }
}

/** A Python that has pika. The Python that packages install for need not be the first in PATH. */
export function findPython(): string | undefined {
  return ['/usr/bin/python3', findProgram('python3')].find(python => python !== undefined && hasPika(python))
}

function hasPika(python: string): boolean {
  try {
    execFileSync(python, ['-c', 'import pika'], { stdio: 'ignore' })
    return true
  } catch {
    return false // No such Python, or one without pika: it has to be installed.
  }
}

const run = promisify(execFile)

/**
 * Makes sure that the parts are installed, by apt if we have the rights, and that none of their services is started.
 * @param say is called with a line of text for each step that has to be done
 * @throws {Error} whose message says what to install by hand
 */
export async function ensureInstalled(parts: Part[], say: (line: string) => void): Promise<void> {
  if (missingOf(parts).length === 0) return
  const turn = await holdInstall(say)
  try {
    // Another run may have installed them while we waited for the lock.
    const missing = missingOf(parts)
    if (missing.length === 0) return
    const root = await becomeRoot()
    if (!root || !findProgram('apt-get')) throw new Error(byHand(missing))
    const packages = packagesOf(missing)
    say(`Installing ${packages.join(', ')} (apt-get; no service is started) ...`)
    await install(root, packages, missing.includes('rabbitmq'))
    const still = missingOf(missing)
    if (still.length > 0) throw new Error(byHand(still))
  } finally {
    turn.release()
  }
}

function missingOf(parts: Part[]): Part[] {
  return parts.filter(part => !isThere(PARTS[part]))
}

function isThere({ programs, isThere: tell }: Package): boolean {
  return tell ? tell() : programs.every(program => findProgram(program) !== undefined)
}

function packagesOf(parts: Part[]): string[] {
  return parts.flatMap(part => PARTS[part].packages)
}

function byHand(missing: Part[]): string {
  return [
    `Not installed, and not to be installed from here: ${missing.join(', ')}.`,
    `On Debian or Ubuntu: sudo apt-get install --no-install-recommends ${packagesOf(missing).join(' ')}`,
  ].join('\n')
}

/** The prefix that runs a command as root; undefined if we cannot become root. */
async function becomeRoot(): Promise<string[] | undefined> {
  if (process.getuid?.() === 0) return []
  const sudo = findProgram('sudo')
  if (!sudo) return undefined
  return run(sudo, ['-n', 'true']).then(
    () => [sudo, '-n'],
    () => undefined, // sudo would ask for a password.
  )
}

const INSTALL_TIMEOUT_MS = 15 * 60_000

/** Waits until no other run of ours on this machine installs anything: apt's own locks do not cover its lists. */
export async function holdInstall(say: (line: string) => void): Promise<{ release(): void }> {
  const deadline = Date.now() + INSTALL_TIMEOUT_MS
  let told = false
  while (Date.now() < deadline) {
    const held = await hold('install')
    if (held) return held
    if (!told) say('Another run on this machine is installing; waiting for it ...')
    told = true
    await sleep(500)
  }
  throw new Error(
    `another run on this machine has been installing for ${INSTALL_TIMEOUT_MS / 60_000} minutes`,
  )
}

/**
 * Packages ask /usr/sbin/policy-rc.d whether they may start their service. apt runs these two commands itself, under its lock,
 * right before and after dpkg, so no other installation ever sees our answer. An existing policy-rc.d is left as it is; one that
 * a killed run of ours left behind is recognised by its last line.
 */
const POLICY = '/usr/sbin/policy-rc.d'
const MARK = '# postviews: only while it installs; remove this file if it is still here'
const FORBID_SERVICES = `[ -e ${POLICY} ] || { printf '#!/bin/sh\\nexit 101\\n${MARK}\\n' > ${POLICY}; chmod 755 ${POLICY}; }`
const ALLOW_SERVICES = `if grep -qsxF '${MARK}' ${POLICY}; then rm ${POLICY}; fi`

async function install(root: string[], packages: string[], withRabbitmq: boolean): Promise<void> {
  const aptGet = [
    ...root,
    'env',
    'DEBIAN_FRONTEND=noninteractive',
    'apt-get',
    '-o',
    'DPkg::Lock::Timeout=300',
    '-q',
    '-y',
  ]
  // Old or partly unreachable lists are often enough; if they are not, the installation fails and says so.
  await runAs(aptGet, ['update']).catch(() => {})
  try {
    await runAs(aptGet, [
      'install',
      '--no-install-recommends',
      '-o',
      `DPkg::Pre-Invoke::=${FORBID_SERVICES}`,
      '-o',
      `DPkg::Post-Invoke::=${ALLOW_SERVICES}`,
      ...packages,
    ])
  } catch (error) {
    throw new Error(`apt-get could not install ${packages.join(' ')}:\n${tail(error)}`, { cause: error })
  }
  // The package would make systemd start its own broker at the next boot, which nobody asked for.
  if (withRabbitmq && existsSync('/usr/bin/systemctl')) {
    await runAs(root, ['systemctl', '--quiet', 'disable', 'rabbitmq-server']).catch(() => {})
  }
}

function runAs(prefix: string[], args: string[]): Promise<unknown> {
  const [program, ...rest] = [...prefix, ...args] as [string, ...string[]]
  return run(program, rest, { timeout: INSTALL_TIMEOUT_MS, maxBuffer: 64 * 1024 * 1024 })
}

/** The last lines of a failed command's output. */
function tail(error: unknown): string {
  const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
  const lines = `${stdout.trimEnd()}\n${stderr.trimEnd()}`.trim().split('\n')
  return lines
    .slice(-12)
    .map(line => `  | ${line}`)
    .join('\n')
}
