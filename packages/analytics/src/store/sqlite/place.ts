/**
 * Checks whether an open file is still the one at its path. SQLite goes on writing into a file that was deleted or replaced,
 * without an error: such commits are lost with the process. Runs in the thread of a connection.
 */

import { type BigIntStats, fstatSync, realpathSync, statSync } from 'node:fs'
import { readHeader } from './header.ts'

/** Becomes a `StoreMisplaced` on the other side of the thread. */
class Misplaced extends Error {
  override name = 'StoreMisplaced'
}

export class Place {
  readonly #path: string
  readonly #besides: string
  readonly #headerOf: number
  readonly #mark: number
  readonly #log: BigIntStats | undefined
  /** The index of the log, which holds the locks. */
  readonly #index: BigIntStats | undefined
  #file: BigIntStats
  #writtenBack = 0
  /** Whether the log was written back, or may have been, since this was last set to false. */
  isWrittenBack = true
  #isOverwritten: boolean

  /**
   * @param headerOf a descriptor of the open file
   * @param mark what the file's header holds as long as the file is in use
   */
  constructor(path: string, headerOf: number, mark: number) {
    this.#path = path
    this.#besides = realPath(path)
    this.#headerOf = headerOf
    this.#mark = mark
    // Of the open file: another may be at the path by now.
    this.#file = fstatSync(headerOf, { bigint: true })
    this.#log = seen(`${this.#besides}-wal`)
    this.#index = seen(`${this.#besides}-shm`)
    this.#isOverwritten = !this.#isMarked()
  }

  /** As the file itself has it. */
  get writtenBack(): number {
    return this.#writtenBack
  }

  /** Called before each piece of work, and again before its answer: three system calls, some 5 µs. @throws {Misplaced} */
  check(): void {
    const path = this.#path
    const file = seen(path)
    if (file === undefined || !isSame(file, this.#file)) {
      throw new Misplaced(
        `${path} was ${file === undefined ? 'deleted or moved away' : 'replaced by another file'} while it was in use: put the same file back, or stop this process before another file takes its place`,
      )
    }
    for (const [suffix, opened] of [
      ['-wal', this.#log],
      ['-shm', this.#index],
    ] as const) {
      const beside = seen(this.#besides + suffix)
      if (isSame(beside, opened)) continue
      throw new Misplaced(
        `${this.#besides}${suffix} was ${beside === undefined ? 'deleted' : 'replaced'} while it was in use: stop this process with SIGTERM, which writes what it holds into ${path}, then start it again`,
      )
    }
    // The file was written by a checkpoint, or overwritten.
    if (file.mtimeNs !== this.#file.mtimeNs || file.size !== this.#file.size) {
      this.#isOverwritten ||= !this.#isMarked()
      this.#file = file
      this.isWrittenBack = true
    }
    if (this.#isOverwritten) {
      throw new Misplaced(
        `${path} was overwritten while it was in use: stop this process, put a complete database in its place and move ${path}-wal away`,
      )
    }
  }

  /** Whether closing may write the log into the file, and remove the log. */
  mayBeCompleted(): boolean {
    const isLeft = (suffix: string, opened: BigIntStats | undefined) => {
      const beside = seen(this.#besides + suffix)
      return beside === undefined || isSame(beside, opened)
    }
    return (
      !this.#isOverwritten &&
      isSame(seen(this.#path), this.#file) &&
      this.#isMarked() &&
      isLeft('-wal', this.#log) &&
      isLeft('-shm', this.#index)
    )
  }

  #isMarked(): boolean {
    const header = readHeader(this.#headerOf)
    if (header === null || !header.hasLog || header.mark !== this.#mark) return false
    // A copy from before the log was last written back: the log does not continue from its pages.
    if (header.writtenBack < this.#writtenBack) return false
    this.#writtenBack = header.writtenBack
    return true
  }
}

/** Where SQLite keeps log and index: beside the file itself, not beside a link to it. */
export function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    // There is no file: the next operation on it fails.
    return path
  }
}

function seen(path: string): BigIntStats | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })
}

function isSame(one: BigIntStats | undefined, other: BigIntStats | undefined): boolean {
  return one?.ino === other?.ino && one?.dev === other?.dev
}
