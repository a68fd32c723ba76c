/** A disk in a file: data in the file are on disk, and data that a program has written but not synced are not. */

import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { findProgram } from '../../tools/stack/programs.ts'
import { atEnd } from './at-end.ts'

const run = promisify(execFile)

export interface Disk {
  folder: string
  /** The disk's content if the power failed now. */
  afterPowerCut(): Promise<Disk>
}

/** Undefined where no disk can be made: that needs root, a loop device and `mkfs.ext4`. */
export async function makeDisk(t: TestContext, mebibytes: number): Promise<Disk | undefined> {
  const format = findProgram('mkfs.ext4')
  if (process.getuid?.() !== 0 || format === undefined) return undefined
  const parent = mkdtempSync(join(tmpdir(), 'postviews-disk-'))
  atEnd(t, () => rmSync(parent, { recursive: true }))
  const image = join(parent, 'image')
  await run('truncate', [`--size=${mebibytes}M`, image])
  await run(format, ['-q', image])
  return mount(t, image).catch(() => undefined)
}

async function mount(t: TestContext, image: string): Promise<Disk> {
  const folder = mkdtempSync(`${image}-`)
  // With this option, the kernel does not write data back by itself for five minutes.
  await run('mount', ['-o', 'loop,commit=300', image, folder])
  atEnd(t, () => run('umount', [folder]))
  return {
    folder,
    async afterPowerCut() {
      const copy = `${image}-after`
      await copyFile(image, copy)
      return mount(t, copy)
    },
  }
}
