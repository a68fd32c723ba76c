/**
 * Where podman runs in the tests: in namespaces of its own for mounts, processes and (but for what has to reach the network)
 * network, so that nothing of it is seen outside, and nothing is left however it ends: the kernel takes all of it away with the
 * first process. What stays is its storage, in the cache folder.
 */

import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder } from '../stack/stacks.ts'

/** Images, and while a run goes on its containers and volumes. */
const STORAGE = join(cacheFolder('containers'), 'storage')

/**
 * The first process is a shell that waits, because it has to bury whatever loses its parent. Podman keeps its state below /run and
 * its locks in /dev/shm; names are still found where /run holds the file that says by whom.
 */
const ENTER = `
real=$(readlink -f /etc/resolv.conf) || real=
resolvers=$(cat /etc/resolv.conf 2>/dev/null)
mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /dev/shm || exit 1
case "$real" in /run/*) mkdir -p "\${real%/*}" && printf '%s\\n' "$resolvers" > "$real";; esac
"$@"
exit $?
`

/** The command line that runs one among processes and mounts of its own, on this machine's network. */
export function inNamespaces(command: readonly string[]): string[] {
  const namespaces = '--mount --pid --fork --kill-child --mount-proc --propagation private'.split(' ')
  return ['unshare', ...namespaces, 'sh', '-c', ENTER, 'sh', ...command]
}

/** Within those, on a network of its own, which ends with the command: it has 127.0.0.1 and what podman adds. */
export function onOwnNetwork(command: readonly string[]): string[] {
  return ['unshare', '--net', 'sh', '-c', 'ip link set lo up || exit 1; exec "$@"', 'sh', ...command]
}

/** Within those, from the network of its own: on the machine's again, which is still that of the first process. */
export function onOuterNetwork(command: readonly string[]): string[] {
  return ['nsenter', '--target', '1', '--net', ...command]
}

/** The environment in which podman finds settings and storage of ours, and none of this machine's. */
export function podmanEnvironment(): NodeJS.ProcessEnv {
  const folder = cacheFolder('containers')
  mkdirSync(join(folder, 'networks'), { recursive: true })
  const files = {
    CONTAINERS_CONF: ['containers.conf', containersConf(join(folder, 'networks'))],
    CONTAINERS_STORAGE_CONF: ['storage.conf', storageConf()],
    // No registry is asked: an image that is not there is a mistake.
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
  // Limits can only be lowered here: those that podman sets by itself may be above ours.
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

/** The most that this process may have. */
export function limit(name: 'nofile'): number {
  return Number(execFileSync('prlimit', [`--${name}`, '--output=HARD', '--noheadings'], { encoding: 'utf8' }))
}
