/**
 * Where the tests run podman: in its own namespaces for mounts, processes and (except for what has to reach the network) network.
 * Nothing of it is visible outside, and nothing is left however it ends, because the kernel ends everything with the first process.
 * Only its storage, in the cache folder, stays.
 */

import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder } from '../stack/stacks.ts'

/** Images; during a run also containers and volumes. */
const STORAGE = join(cacheFolder('containers'), 'storage')

/**
 * The first process is a shell that waits, because process 1 has to reap orphans. Podman keeps its state below /run and its locks
 * in /dev/shm, so both are new. /run gets a copy of the resolver configuration where /etc/resolv.conf links to it.
 */
const ENTER = `
real=$(readlink -f /etc/resolv.conf) || real=
resolvers=$(cat /etc/resolv.conf 2>/dev/null)
mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /dev/shm || exit 1
case "$real" in /run/*) mkdir -p "\${real%/*}" && printf '%s\\n' "$resolvers" > "$real";; esac
"$@"
exit $?
`

/** The command line that runs a command in its own process and mount namespaces, on this machine's network. */
export function inNamespaces(command: readonly string[]): string[] {
  const namespaces = '--mount --pid --fork --kill-child --mount-proc --propagation private'.split(' ')
  return ['unshare', ...namespaces, 'sh', '-c', ENTER, 'sh', ...command]
}

/** Within those namespaces: the command line for a new network that ends with the command. It has 127.0.0.1 and what podman adds. */
export function onOwnNetwork(command: readonly string[]): string[] {
  return ['unshare', '--net', 'sh', '-c', 'ip link set lo up || exit 1; exec "$@"', 'sh', ...command]
}

/** Within that new network: the command line that runs a command on the machine's network again, which the first process still has. */
export function onOuterNetwork(command: readonly string[]): string[] {
  return ['nsenter', '--target', '1', '--net', ...command]
}

/** The environment in which podman uses our settings and storage, and nothing of this machine's. */
export function podmanEnvironment(): NodeJS.ProcessEnv {
  const folder = cacheFolder('containers')
  mkdirSync(join(folder, 'networks'), { recursive: true })
  const files = {
    CONTAINERS_CONF: ['containers.conf', containersConf(join(folder, 'networks'))],
    CONTAINERS_STORAGE_CONF: ['storage.conf', storageConf()],
    // No registry is asked: a missing image is a mistake.
    CONTAINERS_REGISTRIES_CONF: ['registries.conf', 'unqualified-search-registries = []\n'],
  } as const
  const environment: NodeJS.ProcessEnv = { ...process.env, DISABLE_HC_SYSTEMD: 'true' }
  for (const [variable, [name, text]] of Object.entries(files)) {
    writeFileSync(join(folder, name), text)
    environment[variable] = join(folder, name)
  }
  return environment
}

function containersConf(networks: string): string {
  // This process can only lower limits, and podman's defaults may be above them.
  return `[containers]
default_ulimits = ["nofile=${limit('nofile')}:${limit('nofile')}", "nproc=4096:4096"]

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"

[network]
network_backend = "netavark"
network_config_dir = "${networks}"
`
}

function storageConf(): string {
  return `[storage]
driver = "overlay"
graphroot = "${STORAGE}"
runroot = "/run/containers/storage"
`
}

/** The hard limit of this process. */
export function limit(name: 'nofile'): number {
  return Number(execFileSync('prlimit', [`--${name}`, '--output=HARD', '--noheadings'], { encoding: 'utf8' }))
}
