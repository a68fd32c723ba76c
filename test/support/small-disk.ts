/** A disk that fills up when a test says so. */

import { execFile } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { atEnd } from './at-end.ts'

const run = promisify(execFile)

export interface SmallDisk {
  folder: string
  /** Leaves that process, which writes to the folder, no byte. */
  fill(pid: number): Promise<void>
  /** Without `pid`, if the process has died. */
  free(pid?: number): Promise<void>
}

/**
 * A small file system, where we may mount one. Elsewhere, `fill` makes the kernel refuse to let the process's files grow beyond
 * one page, as an exhausted quota does.
 */
export async function smallDisk(t: TestContext, mebibytes: number): Promise<SmallDisk> {
  const folder = mkdtempSync(join(tmpdir(), 'postviews-disk-'))
  atEnd(t, () => rmSync(folder, { recursive: true }))
  if (process.getuid?.() !== 0) {
    const limit = async (pid: number | undefined, bytes: string) => {
      if (pid !== undefined) await run('prlimit', [`--pid=${pid}`, `--fsize=${bytes}:unlimited`])
    }
    return { folder, fill: pid => limit(pid, '4096'), free: pid => limit(pid, 'unlimited') }
  }
  await run('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'postviews-test', folder])
  atEnd(t, () => run('umount', ['--lazy', folder]))
  const ballast = join(folder, 'ballast')
  return {
    folder,
    fill: async () => fillUp(ballast),
    free: async () => rmSync(ballast),
  }
}

function fillUp(path: string): void {
  const file = openSync(path, 'a')
  try {
    for (let bytes = 1_048_576; bytes >= 1; ) {
      try {
        writeSync(file, Buffer.alloc(bytes))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
        bytes /= 2
      }
    }
  } finally {
    closeSync(file)
  }
}
