/**
 * `npm run test:containers`: builds deploy/Dockerfile and runs deploy/compose.yaml with podman. As root alone; without Docker, and without
 * a registry of images. Nothing is left of it but images in the cache folder. `npm run test:containers -- test/containers/x.test.ts
 * --test-name-pattern=…` as with `npm test`.
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
// It does not take others; and with it the kernel ends all that it has started.
onStopSignal(() => run.child.kill('SIGKILL'))
const timeout = setTimeout(() => {
  say(`Not done after ${RUN_TIMEOUT_MS / 60_000} minutes.`)
  run.child.kill('SIGKILL')
}, RUN_TIMEOUT_MS)
const { code } = await run.ended
clearTimeout(timeout)
// What was killed takes the kernel a moment to bury.
for (let tries = 0; tries < 20 && !removeCgroups(); tries++) await sleep(100)
process.exitCode = code ?? 1

/** Removes the empty folders of the kernel's accounts, of containers that are gone; whether all are. */
function removeCgroups(): boolean {
  let isDone = true
  for (const parent of globSync('/sys/fs/cgroup/{,*/}libpod_parent')) {
    for (const folder of [...globSync(join(parent, '*/')), parent]) {
      try {
        rmdirSync(folder)
      } catch {
        isDone = false // The kernel removes none that is in use, by a podman that is not ours, say.
      }
    }
  }
  return isDone
}

/** One run at a time has the storage; the kernel gives it back however we end. */
async function holdStorage(): Promise<void> {
  for (let told = false; (await hold('containers')) === undefined; told = true) {
    if (!told) say('Another run on this machine has the images; waiting for it ...')
    await sleep(500)
  }
}
