/**
 * `npm run test:containers`: builds deploy/Dockerfile and runs deploy/compose.yaml with podman. It must run as root, and needs
 * neither Docker nor an image registry. It leaves nothing but images in the cache folder. It takes
 * `-- test/containers/x.test.ts --test-name-pattern=…` as `npm test` does.
 */

import { globSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { hold } from '../stack/ports.ts'
import { NotInstallableToday } from '../stack/stack-install.ts'
import { onStopSignal } from '../stack/stop-signals.ts'
import { spawnWatched } from '../stack/watched.ts'
import { ensureSources } from './images.ts'
import { inNamespaces, podmanEnvironment } from './namespaces.ts'

const RUN_TIMEOUT_MS = 20 * 60_000
const say = (line: string) => console.log(`[test:containers] ${line}`)

await ensureSources(say).catch((error: Error) => {
  console.error(error.message)
  process.exit(error instanceof NotInstallableToday ? 0 : 1)
})
await holdStorage()
const run = spawnWatched(
  inNamespaces([process.execPath, join(import.meta.dirname, 'inside.ts'), ...process.argv.slice(2)]),
  { cwd: join(import.meta.dirname, '../..'), env: podmanEnvironment(), output: 'inherit' },
)
// It ignores other signals. When it is killed, the kernel ends everything that it started.
onStopSignal(() => run.child.kill('SIGKILL'))
const timeout = setTimeout(() => {
  say(`Not done after ${RUN_TIMEOUT_MS / 60_000} minutes.`)
  run.child.kill('SIGKILL')
}, RUN_TIMEOUT_MS)
const { code } = await run.ended
clearTimeout(timeout)
// The kernel takes a moment to remove killed processes.
for (let tries = 0; tries < 20 && !removeCgroups(); tries++) await sleep(100)
process.exitCode = code ?? 1

/** Removes the empty cgroups of containers that are gone. Returns whether all were removed. */
function removeCgroups(): boolean {
  let isDone = true
  for (const parent of globSync('/sys/fs/cgroup/{,*/}libpod_parent')) {
    for (const folder of [...globSync(join(parent, '*/')), parent]) {
      try {
        rmdirSync(folder)
      } catch {
        isDone = false // The kernel removes no cgroup in use, for example by a podman that is not ours.
      }
    }
  }
  return isDone
}

/** Only one run at a time uses the storage. The kernel releases the lock however we end. */
async function holdStorage(): Promise<void> {
  for (let told = false; (await hold('containers')) === undefined; told = true) {
    if (!told) say('Another run on this machine has the images; waiting for it ...')
    await sleep(500)
  }
}
