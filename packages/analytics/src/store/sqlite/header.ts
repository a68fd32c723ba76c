/**
 * Reads the header of a database file without SQLite: what the file itself says, whatever its log says
 * (https://www.sqlite.org/fileformat.html#the_database_header).
 *
 * A process that closes a file releases all its locks on it, including those of connections that are still open
 * (https://www.sqlite.org/howtocorrupt.html, 2.2). So a file is opened once for all stores of this process, and closed after the
 * last of them.
 */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

export interface Header {
  /** Whether the file has a log: it is in use, or the last process that used it was killed. */
  hasLog: boolean
  /** A random number that the file keeps as long as it is in use. */
  mark: number
  /** How often its log was written back while it was in use: an older copy of the file has a smaller one. */
  writtenBack: number
}

const BYTES = 100

/** Null if the file is too short to have one. */
export function readHeader(descriptor: number): Header | null {
  const bytes = Buffer.alloc(BYTES)
  if (readSync(descriptor, bytes, 0, BYTES, 0) < BYTES) return null
  return { hasLog: bytes[18] === 2, mark: bytes.readInt32BE(60), writtenBack: bytes.readInt32BE(68) }
}

interface Open {
  descriptors: number[]
  users: number
}

/** By their inode. */
const opened = new Map<string, Open>()

/** A file that is open for its header alone; any thread of this process may read that. */
export class HeaderFile {
  readonly descriptor: number
  readonly #inode: string

  /** @throws if the file does not exist, or cannot be read */
  constructor(path: string) {
    this.descriptor = openSync(path, 'r')
    const stats = fstatSync(this.descriptor, { bigint: true })
    if (!stats.isFile()) {
      closeSync(this.descriptor)
      throw new Error('it is not a file')
    }
    const { dev, ino } = stats
    this.#inode = `${dev}:${ino}`
    const { descriptors, users } = opened.get(this.#inode) ?? { descriptors: [], users: 0 }
    opened.set(this.#inode, { descriptors: [...descriptors, this.descriptor], users: users + 1 })
  }

  /** Call it once, after every connection of this store is closed. */
  close(): void {
    const { descriptors, users } = opened.get(this.#inode)!
    if (users > 1) {
      opened.set(this.#inode, { descriptors, users: users - 1 })
      return
    }
    opened.delete(this.#inode)
    for (const descriptor of descriptors) closeSync(descriptor)
  }
}
