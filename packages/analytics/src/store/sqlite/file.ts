/** The database file of `sqlite:PATH`: created only by a migration, opened when it is first needed, refused if it is not complete. */

import { closeSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { StoreRefused, StoreUnavailable } from '../failures.ts'
import { MIGRATIONS_TABLE } from '../sql/migrate.ts'
import { SqliteConnection } from './connection.ts'
import { fileError } from './errors.ts'
import { HeaderFile, readHeader } from './header.ts'
import { markIn, writtenBackIn } from './journal.ts'
import { realPath } from './place.ts'
import type { FileInUse } from './ranking-source.ts'

type Work = (writer: SqliteConnection) => Promise<void>

interface Connections {
  writer: SqliteConnection
  /**
   * The connection for a single question: the writer's, until a question comes while that has something to do. A second connection is
   * a second thread, which takes 20 MB of memory, and a process that only consumes asks hardly anything.
   */
  reader(): SqliteConnection
  /** Lends another connection that reads, for many reads in one snapshot. */
  lend<T>(work: (reader: SqliteConnection) => Promise<T>): Promise<T>
  /** The connections of `reader` besides the writer's: none, or one. */
  readers: readonly SqliteConnection[]
  /** Connections that are not lent now: a connection is a thread, which takes longer to start than most reads. */
  idle: SqliteConnection[]
  header: HeaderFile
  /** For others that open the file to read it. They must close it before `close`. */
  inUse: FileInUse
}

export class SqliteFile {
  readonly path: string
  readonly warnings: string[] = []
  #opening: Promise<Connections> | undefined
  #connections: Connections | undefined
  #closing: Promise<void> | undefined

  constructor(path: string) {
    this.path = path
  }

  /** @throws {StoreRefused} for a file that is missing, or must not be used */
  async open(): Promise<void> {
    await this.#connected()
  }

  /**
   * Runs work on the connections: at once if they are open, so that `close` interrupts no work that has begun.
   *
   * @throws {StoreUnavailable} also for what `open` refuses: somebody may be about to repair it
   */
  use<T>(work: (connections: Connections) => Promise<T>): Promise<T> {
    if (this.#closing !== undefined)
      return Promise.reject(new StoreUnavailable('SQLite: the store is closed'))
    if (this.#connections !== undefined) return work(this.#connections)
    return this.#connected().then(work, (error: unknown) => {
      throw error instanceof StoreRefused
        ? new StoreUnavailable(error.message, { cause: error.cause })
        : error
    })
  }

  /**
   * Opens the file to migrate it. If there is none, creates it empty, with its folder, for its owner only. `work` must be one
   * transaction: a file that has a page without our tables is refused.
   */
  async migrate(work: Work): Promise<void> {
    // Another call may be finding out that there is no file. A file that was opened once and is gone now is not created again.
    await this.#opening?.catch(() => {})
    if (this.#opening === undefined) {
      refuseWithoutFile(this.path)
      this.#make()
      if (seen(this.path)?.size === 0) {
        await this.#connected(work)
        return
      }
    }
    const { writer } = await this.#connected()
    await work(writer)
  }

  /** Waits for work that has begun; new work is refused. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** Readers first: the last of all connections is one that writes, and so can complete the file. */
  async #close(): Promise<void> {
    const connections = await this.#opening?.catch(() => undefined)
    if (connections === undefined) return
    const { writer, readers, idle, header } = connections
    for (const connection of [writer, ...readers]) connection.hurry()
    await Promise.all([...readers, ...idle.splice(0)].map(connection => connection.close()))
    if (await writer.mayBeCompleted()) await writer.close()
    else await writer.abandon()
    header.close()
  }

  /** @param fill creates the tables of a new file */
  #connected(fill?: Work): Promise<Connections> {
    if (this.#closing !== undefined)
      return Promise.reject(new StoreUnavailable('SQLite: the store is closed'))
    this.#opening ??= this.#open(fill).then(
      connections => {
        this.#connections = connections
        return connections
      },
      (error: unknown) => {
        this.#opening = undefined
        throw error
      },
    )
    return this.#opening
  }

  async #open(fill?: Work): Promise<Connections> {
    const { path } = this
    refuseWithoutFile(path)
    if (seen(path) === undefined) {
      throw new StoreRefused(`there is no database at ${path}: run \`postviews migrate\``)
    }
    const header = headerOf(path)
    const opened = { path, headerOf: header.descriptor }
    const another = () => new SqliteConnection({ ...opened, readOnly: true })
    const writer = new SqliteConnection({ ...opened, readOnly: false })
    try {
      if (fill === undefined) refuseForeignLog(path, header)
      const found = readHeader(header.descriptor)
      const lacksLog = found?.hasLog && found.mark !== 0 && seen(logOf(path)) === undefined
      // Another process may have been quicker: then the tables are there.
      if (fill === undefined) await refuseForeign(writer, path)
      else await fill(writer)
      await writer.takeIntoUse()
      this.warnings.length = 0
      if (lacksLog) this.warnings.push(withoutLog(path))
      this.warnings.push(...openToAll(path))
      const readers: SqliteConnection[] = []
      let reader: SqliteConnection | undefined
      const asked = () => {
        if (reader === undefined && writer.isIdle) return writer
        if (reader === undefined) {
          // Not before the writer has taken the file into use: a reader cannot create the log.
          reader = another()
          readers.push(reader)
        }
        return reader
      }
      const idle: SqliteConnection[] = []
      const lend = async <T>(work: (reader: SqliteConnection) => Promise<T>): Promise<T> => {
        const connection = idle.pop() ?? another()
        try {
          const result = await work(connection)
          if (this.#closing === undefined) idle.push(connection)
          return result
        } finally {
          // If the work failed, the connection itself may have ended.
          if (!idle.includes(connection)) await connection.close()
        }
      }
      return { writer, reader: asked, readers, lend, idle, header, inUse: opened }
    } catch (error) {
      // The caller gets the first error. A file that is refused stays as it is.
      await writer.abandon().catch(() => {})
      header.close()
      throw error
    }
  }

  #make(): void {
    try {
      mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 })
      closeSync(openSync(this.path, 'wx', 0o600))
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'EEXIST' && seen(this.path) !== undefined) return
      throw fileError(this.path, 'made', cause)
    }
  }
}

function seen(path: string) {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch (cause) {
    throw fileError(path, 'looked at', cause)
  }
}

function logOf(path: string): string {
  return `${realPath(path)}-wal`
}

function headerOf(path: string): HeaderFile {
  try {
    return new HeaderFile(path)
  } catch (cause) {
    throw fileError(path, 'opened', cause)
  }
}

/** A new file would take over the log of the missing file, and empty it. */
function refuseWithoutFile(path: string): void {
  if ((seen(path)?.size ?? 0) > 0 || (seen(logOf(path))?.size ?? 0) === 0) return
  throw new StoreRefused(
    `${path} is not there, but ${path}-wal is, with the latest views in it: put the file back beside it, or move that away`,
  )
}

/** A file that was made by a migration has its tables from the first page on. */
async function refuseForeign(writer: SqliteConnection, path: string): Promise<void> {
  const [ours] = await writer.all(`SELECT name FROM sqlite_schema WHERE name = '${MIGRATIONS_TABLE}'`)
  if (ours !== undefined) return
  const [{ page_count: pages } = {}] = await writer.all('PRAGMA page_count')
  if (Number(pages) === 0) throw new StoreRefused(`${path} is empty: run \`postviews migrate\``)
  throw new StoreRefused(
    `${path} is no new file, and has no table of ours: it lost its -wal when it was copied, or belongs to another program. Put the whole database there, or move it away to begin a new one`,
  )
}

/** SQLite takes whatever log is beside a file for the file's own, and so ruins a backup that is put there. */
function refuseForeignLog(path: string, header: HeaderFile): void {
  // Checked twice: another process that opens or closes the file in between changes both.
  if (isForeignLog(path, header) && isForeignLog(path, header)) {
    throw new StoreRefused(
      `${logOf(path)} belongs to another file than ${path}: move it away, and the -shm beside it too`,
    )
  }
}

function isForeignLog(path: string, { descriptor }: HeaderFile): boolean {
  if ((seen(logOf(path))?.size ?? 0) === 0) return false
  const header = readHeader(descriptor)
  if (header === null || !header.hasLog) return true
  try {
    // Read-only, so that closing it does not write the log into the file.
    using together = new DatabaseSync(path, { readOnly: true, timeout: 5_000 })
    const ahead = writtenBackIn(together) - header.writtenBack
    return header.mark !== markIn(together) || ahead < 0 || ahead > 1
  } catch (cause) {
    throw new StoreUnavailable(`SQLite: ${path} cannot be read`, { cause })
  }
}

function withoutLog(path: string): string {
  return `${path} was in use when it was last written, and there is no ${logOf(path)}: if it was copied or restored without that, its latest views are missing; put the two together back, from one moment`
}

/** Files with readers' addresses that any user of the machine can read. Files whose mode we set are not among them. */
function openToAll(path: string): string[] {
  const folder = seen(dirname(realPath(path)))
  if (folder === undefined || (folder.mode & 0o001) === 0) return []
  return ['', '-wal', '-shm']
    .map(suffix => realPath(path) + suffix)
    .filter(each => ((seen(each)?.mode ?? 0) & 0o006) !== 0)
    .map(each => `${each} holds personal data, and every user of this machine can read it: chmod 600`)
}
