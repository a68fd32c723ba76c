/** Creates and tests the folder of a spool, and explains its errors. */

import { existsSync } from 'node:fs'
import { mkdir, open, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MAX_EVENT_BYTES } from './record.ts'
import { syncFolder, writeAt } from './segments.ts'

/** Makes the folder with mode 0700, and missing parents with the usual mode. All of them are synced to the disk. */
export async function makeSpoolFolder(folder: string): Promise<void> {
  const parent = dirname(folder)
  if (!existsSync(parent)) {
    const first = await mkdir(parent, { recursive: true })
    for (let made = parent; first !== undefined && made.startsWith(first); made = dirname(made)) {
      await syncIfAllowed(dirname(made))
    }
  }
  try {
    await mkdir(folder, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !(await stat(folder)).isDirectory()) throw error
    return
  }
  await syncIfAllowed(parent)
}

/** A parent that belongs to another user may be unreadable; it cannot be synced then. */
async function syncIfAllowed(folder: string): Promise<void> {
  await syncFolder(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EACCES') throw error
  })
}

/** Whether the disk has room for the longest event. @throws when it has not */
export async function probeDisk(folder: string): Promise<void> {
  const path = join(folder, 'probe')
  const file = await open(path, 'w', 0o600)
  try {
    await writeAt(file, Buffer.alloc(MAX_EVENT_BYTES, 'probe\n'), 0)
    await file.sync()
  } finally {
    await file.close()
    await rm(path, { force: true })
  }
}

const WORDS: Record<string, string> = {
  EACCES: 'permission denied: give the folder to that user (chown -R), or use another folder',
  EROFS: 'its file system is read-only: use another folder',
  EEXIST: 'it is not a folder: use another path',
  ENOTDIR: 'a part of its path is not a folder: use another path',
  ENOENT: 'it cannot be created there: use a folder on a disk of this machine',
}

export function spoolErrorInWords(error: unknown, folder: string): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return code in WORDS
    ? new Error(`RELAY_SPOOL ${folder}, as user ${process.getuid?.()}: ${WORDS[code]}`, { cause: error })
    : error
}
