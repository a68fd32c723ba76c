/**
 * A systemd that runs, as process 1 of namespaces of its own, on the files of this machine with a layer above them, which goes with it. It
 * starts nothing but what it is told to.
 */

import { execFile } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { spawnWatched } from '../../tools/stack/watched.ts'
import { atEnd, hasPassed } from '../support/at-end.ts'
import { until } from '../support/until.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
const run = promisify(execFile)

/**
 * $1 is a folder of the test's, $2 this clone, which is seen at /opt/postviews, $3 the Node that becomes that of the system. What a machine starts by
 * itself (its disks, its clock, its network) is not this one's matter: those lists are taken away, and the kernel's settings cannot be written.
 * A hierarchy of process groups with the name that systemd looks for is all that it has of them; so limits of memory are not kept here.
 */
const BOOT = `
set -e
mount -t tmpfs tmpfs "$1/layer"
mkdir "$1/layer/above" "$1/layer/work" "$1/layer/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/layer/above,workdir=$1/layer/work" "$1/layer/root"
cd "$1/layer/root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
for folder in run tmp dev; do mount -t tmpfs tmpfs "$folder"; done
for device in null zero full random urandom tty; do touch "dev/$device"; mount --bind "/dev/$device" "dev/$device"; done
mkdir dev/shm dev/pts dev/mqueue
mount -t devpts devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=755 cgroup sys/fs/cgroup
mkdir sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
mount -o remount,ro sys/fs/cgroup
rm -rf etc/systemd/system/*.wants usr/lib/systemd/system/*.wants
mkdir -p opt/postviews
mount --rbind "$2" opt/postviews
cp "$3" usr/bin/node
pivot_root . mnt
umount -l /mnt
exec env -i container=postviews PATH=${PATH} /lib/systemd/systemd --system --unit=basic.target
`

/** In a process group of its own kind, below which systemd makes its own; $1 is the name. All of them are removed at the end. */
const ENTER = `
set -e
folder=$(mktemp -d)
mount -t cgroup -o none,name=systemd cgroup "$folder"
mkdir "$folder/$1"
echo $$ > "$folder/$1/cgroup.procs"
umount "$folder"
rmdir "$folder"
shift
exec unshare --cgroup --pid --net --ipc --uts --fork --kill-child "$@"
`
const LEAVE = `
folder=$(mktemp -d)
mount -t cgroup -o none,name=systemd cgroup "$folder"
find "$folder/$1" -depth -type d -exec rmdir {} +
isDone=$?
umount "$folder"
rmdir "$folder"
exit $isDone
`

export interface SystemdMachine {
  /** Types the lines into a shell of it, in /opt/postviews; what was printed. @throws {Error} with it, when one fails */
  type(lines: string): Promise<string>
}

/** Boots it; all of it is gone when the test ends. As root alone. */
export async function bootSystemd(t: TestContext): Promise<SystemdMachine> {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-systemd-'))
  atEnd(t, () => rm(folder, { recursive: true }))
  await mkdir(join(folder, 'layer'))
  const group = folder.split('/').at(-1)!
  const output = openSync(join(folder, 'log'), 'a')
  const boot = ['sh', '-c', BOOT, 'sh', folder, ROOT, process.execPath]
  const { pid, child, ended } = spawnWatched(
    ['unshare', '--mount', '--propagation=private', 'sh', '-c', ENTER, 'sh', group, ...boot],
    { cwd: '/', env: { PATH }, output },
  )
  closeSync(output)
  let hasEnded = false
  void ended.then(() => {
    hasEnded = true
  })
  atEnd(t, async () => {
    child.kill('SIGKILL')
    await ended
    if (!hasPassed(t)) t.diagnostic(await readFile(join(folder, 'log'), 'utf8'))
    await until('its process groups are empty, and removed', () =>
      run('unshare', ['--mount', 'sh', '-c', LEAVE, 'sh', group]).then(
        () => true,
        () => false,
      ),
    )
  })

  const machine: SystemdMachine = {
    async type(lines) {
      const init = await firstOf(pid)
      const entered = [
        '--target',
        String(init),
        '--mount',
        '--pid',
        '--net',
        '--ipc',
        '--uts',
        '--cgroup',
        '--root',
      ]
      const command = ['env', '-i', `PATH=${PATH}`, 'sh', '-euc', `cd /opt/postviews\n${lines}`]
      try {
        const { stdout } = await run('nsenter', [...entered, ...command], { cwd: '/' })
        return stdout.trim()
      } catch (error) {
        const { stdout, stderr } = error as { stdout: string; stderr: string }
        throw new Error(`${lines}\n${stdout}${stderr}`, { cause: error })
      }
    },
  }
  await until('systemd runs', async () => {
    if (hasEnded) throw new Error(`systemd did not start: ${await readFile(join(folder, 'log'), 'utf8')}`)
    return machine.type('systemctl is-system-running').then(
      state => state === 'running',
      () => false,
    )
  })
  return machine
}

/** The number outside of process 1: the last child of `unshare`, after the one that watches over it. */
async function firstOf(parent: number): Promise<number> {
  const children = (await readFile(`/proc/${parent}/task/${parent}/children`, 'utf8')).trim().split(' ')
  return Number(children.at(-1))
}
