/** The relay's spool on disk, read past the relay (docs/relay.md describes the format). */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from './until.ts'

export interface SpoolFile {
  path: string
  bytes: Buffer
}

/** The segments, oldest first. The relay may remove one while the folder is read. */
export function segmentsIn(folder: string): SpoolFile[] {
  return readdirSync(folder)
    .filter(name => name.endsWith('.views'))
    .sort()
    .flatMap(name => {
      const path = join(folder, name)
      try {
        return [{ path, bytes: readFileSync(path) }]
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
        throw error
      }
    })
}

/** The lines of events in segments that the relay has not removed. */
export function recordsIn(folder: string): string[] {
  return segmentsIn(folder).flatMap(({ bytes }) => bytes.toString('latin1').split('\n').slice(1, -1))
}

/** All bytes of all files in the folder. */
export function everythingIn(folder: string): Buffer {
  const files = readdirSync(folder, { withFileTypes: true }).filter(entry => entry.isFile())
  return Buffer.concat(files.map(({ name }) => readFileSync(join(folder, name))))
}

/** Waits until everything is published, confirmed, and removed from disk. */
export function untilEmpty(folder: string, deadlineMs = 60_000): Promise<void> {
  return until('the spool is empty', () => recordsIn(folder).length === 0, deadlineMs)
}
