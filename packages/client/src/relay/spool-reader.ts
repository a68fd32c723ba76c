import { type FileHandle, open } from 'node:fs/promises'
import { PUBLISHER_DEFAULTS } from '../tracker.ts'
import { mayBeBegun, recordAt, type Span } from './record.ts'
import { isRead, type Segment } from './segments.ts'
import { messagesOf, type SpooledMessage } from './spooled-message.ts'

/** Called for what cannot be read. */
export interface ReaderEvents {
  /** The bytes are not a valid record. Events that were accepted there are lost; what follows is read. */
  onDamaged(path: string, at: number, bytes: number): void
  /** A segment ends within a record: its process was killed while it wrote, before it answered the senders. */
  onUnfinished(path: string, bytes: number): void
}

/** The unit in which a disk reads or loses data. */
const PAGE_BYTES = 4_096
/** More than the longest line, so that there is always progress. */
const READ_BYTES = 262_144

/** Reads segments, one after the other, each from where `readTo` stands. */
export class SpoolReader {
  readonly #events: ReaderEvents
  /** Reused by every read: messages are copies. */
  readonly #buffer = Buffer.allocUnsafe(READ_BYTES)
  #open: { segment: Segment; file: FileHandle } | undefined

  constructor(events: ReaderEvents) {
    this.#events = events
  }

  /** Reads the next bytes, some 256 KiB at most; returns no message if they hold no event. */
  async read(segment: Segment): Promise<SpooledMessage[]> {
    const file = await this.#fileOf(segment)
    if (file === undefined) return []
    const from = segment.readTo
    const length = Math.min(READ_BYTES, segment.bytes - from)
    const bytes = await readAt(file, from, this.#buffer.subarray(0, length))
    const bodies: Span[] = []
    let at = 0
    while (at < bytes.length) {
      const record = recordAt(bytes, at)
      if (record === undefined) break
      if (record.body !== undefined) bodies.push(record.body)
      else this.#events.onDamaged(segment.path, from + at, record.end - at)
      at = record.end
    }
    // Without waiting: events that are read but not counted would seem confirmed.
    segment.unconfirmed += bodies.length
    segment.readTo = from + at
    if (at === 0) {
      if (mayBeBegun(bytes)) this.#events.onUnfinished(segment.path, segment.bytes - from)
      else this.#events.onDamaged(segment.path, from, segment.bytes - from)
      // No bytes at all: somebody has truncated the file.
      segment.readTo = bytes.length > 0 ? from + bytes.length : segment.bytes
    }
    const messages = messagesOf(bytes, bodies, PUBLISHER_DEFAULTS)
    if (isRead(segment)) await this.close()
    return messages
  }

  async close(): Promise<void> {
    const open = this.#open
    this.#open = undefined
    await open?.file.close().catch(() => {
      // It was only used to read.
    })
  }

  async #fileOf(segment: Segment): Promise<FileHandle | undefined> {
    if (this.#open?.segment === segment) return this.#open.file
    await this.close()
    try {
      const file = await open(segment.path, 'r')
      this.#open = { segment, file }
      return file
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      // Somebody has removed it.
      this.#events.onDamaged(segment.path, segment.readTo, segment.bytes - segment.readTo)
      segment.readTo = segment.bytes
      return undefined
    }
  }
}

/**
 * Reads as many bytes as there are, and as fit. A page that the disk cannot read becomes zeros, which are not a valid record.
 *
 * @throws any other error of the file system, which may be temporary
 */
async function readAt(file: FileHandle, position: number, into: Buffer): Promise<Buffer> {
  let read = 0
  let most = into.length
  while (read < into.length) {
    const length = Math.min(most, into.length - read)
    try {
      const { bytesRead } = await file.read(into, read, length, position + read)
      if (bytesRead === 0) break
      read += bytesRead
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error
      if (most > PAGE_BYTES) {
        // Read single pages, to find the bad one.
        most = PAGE_BYTES - ((position + read) % PAGE_BYTES)
        continue
      }
      into.fill(0, read, read + length)
      read += length
    }
    if (most < into.length) most = PAGE_BYTES
  }
  return into.subarray(0, read)
}
