import { type FileHandle, rm } from 'node:fs/promises'
import { setImmediate as thisTurn } from 'node:timers/promises'
import { MAX_LINE_BYTES } from './record.ts'
import { SegmentWriter } from './segment-writer.ts'
import { createSegment, HEADER_BYTES, isDone, isRead, type Segment, segmentsIn } from './segments.ts'
import { makeSpoolFolder, probeDisk, spoolErrorInWords } from './spool-folder.ts'
import { lockSpool, type SpoolLock } from './spool-lock.ts'
import { type ReaderEvents, SpoolReader } from './spool-reader.ts'
import type { SpooledMessage } from './spooled-message.ts'

/**
 * Why an event is not in the spool: there is no room for it, or the disk does not take it. `unknown`: it may be
 * in the spool all the same, because a partial write could not be undone.
 */
export type NoRoom = 'full' | 'disk' | 'unknown'

export interface SpoolOptions extends ReaderEvents {
  /** Created if it does not exist, for its owner alone. */
  folder: string
  /** Of its files. */
  maxBytes: number
  /** There is something to read. */
  onDurable(): void
  /** The disk has answered: callers that waited because it was behind may continue. */
  onAnswered(): void
  /** The disk refuses writes; undefined: it takes them again. */
  onDisk(error: Error | undefined): void
}

/** The result of one read. Its events have to be confirmed with the number of their segment. */
export interface Read {
  segment: number
  messages: SpooledMessage[]
}

/** The records of one write. */
interface Group {
  records: string[]
  bytes: number
  dones: ((noRoom?: NoRoom) => void)[]
}

/**
 * Confirms are not recorded on the disk, so after a kill the confirmed events of two segments are published
 * once more: of the one that is written to, and of the one that is read.
 */
const MOST_SEGMENT_BYTES = 4 * 1_048_576
/** Limit of bytes that wait for the disk; beyond it, callers have to wait too. */
const MOST_WAITING_BYTES = 1_048_576
const EMPTY_EVERY_MS = 1_000
const PROBE_EVERY_MS = 1_000

/**
 * A queue of files: it holds events on the disk, from before they are answered until the broker has confirmed them.
 *
 * `append` gathers records until the disk is free, writes them together, and tells each caller when its record
 * is on the disk. `read` gives what is on the disk, in order. `confirm` counts. When all of a segment was read
 * and confirmed, it is removed; the one that is written to is emptied instead. Each process begins a segment of
 * its own, so segments of earlier processes are only read.
 */
export class Spool {
  readonly #options: SpoolOptions
  readonly #lock: SpoolLock
  readonly #reader: SpoolReader
  readonly #writer = new SegmentWriter()
  /** Oldest first. */
  #segments: Segment[]
  #nextNumber: number
  /** The last segment, where it takes records. */
  #active: { segment: Segment; file: FileHandle } | undefined
  #group = emptyGroup()
  #writing: Promise<void> | undefined
  /** Of the group that is being written. */
  #writingBytes = 0
  #isDiskRefusing = false
  #isEmptyDue = false
  #isProbeDue = false
  #probeTimer: NodeJS.Timeout | undefined
  #emptyTimer: NodeJS.Timeout | undefined
  /** Files whose removal is under way. */
  readonly #removals = new Set<Promise<void>>()
  #emptiedAtMs = 0

  /** @throws {Error} when another relay has the folder, a newer version has written to it, or it cannot be used */
  static async open(options: SpoolOptions): Promise<Spool> {
    const { folder } = options
    try {
      await makeSpoolFolder(folder)
      const lock = await lockSpool(folder)
      try {
        return new Spool(options, lock, await segmentsIn(folder))
      } catch (error) {
        await lock.release()
        throw error
      }
    } catch (error) {
      throw spoolErrorInWords(error, folder)
    }
  }

  private constructor(options: SpoolOptions, lock: SpoolLock, segments: Segment[]) {
    this.#options = options
    this.#lock = lock
    this.#reader = new SpoolReader(options)
    this.#segments = segments
    this.#nextNumber = (segments.at(-1)?.number ?? 0) + 1
  }

  /** Of its files. */
  get bytes(): number {
    return this.#segments.reduce((bytes, segment) => bytes + segment.bytes, 0)
  }

  get unreadBytes(): number {
    return this.#segments.reduce((bytes, segment) => bytes + segment.bytes - segment.readTo, 0)
  }

  /** Everything that was accepted is confirmed. */
  get isDrained(): boolean {
    return this.#writing === undefined && this.#segments.every(isDone)
  }

  /** There may be no room for another event. */
  get isFull(): boolean {
    return this.bytes + MAX_LINE_BYTES > this.#options.maxBytes
  }

  /** The last attempt to write has failed. */
  get isDiskRefusing(): boolean {
    return this.#isDiskRefusing
  }

  /** So much waits for the disk that callers should wait too. */
  get isBehind(): boolean {
    return this.#group.bytes > MOST_WAITING_BYTES
  }

  /** Calls back, in the order of the calls, once the record is on the disk for certain, or could not be written. */
  append(record: string, done: (noRoom?: NoRoom) => void): void {
    const bytes = Buffer.byteLength(record)
    const waiting = this.#writingBytes + this.#group.bytes + bytes
    // It may need a new segment, with a header.
    if (this.bytes + waiting + HEADER_BYTES <= this.#options.maxBytes) {
      this.#group.records.push(record)
      this.#group.bytes += bytes
      this.#group.dones.push(done)
    } else {
      this.#group.dones.push(() => done('full'))
    }
    this.#writing ??= this.#write()
  }

  /** Reads what comes next, some 256 KiB at most; undefined when all was read. One call at a time. */
  async read(): Promise<Read | undefined> {
    for (;;) {
      const segment = this.#segments.find(each => !isRead(each))
      if (segment === undefined) return undefined
      const messages = await this.#reader.read(segment)
      if (messages.length > 0) return { segment: segment.number, messages }
      this.#removeDone()
    }
  }

  /** That many of the events that were read from the segment are safe elsewhere. */
  confirm(number: number, events: number): void {
    const segment = this.#segments.find(each => each.number === number)
    if (segment === undefined) return
    segment.unconfirmed -= events
    if (!isDone(segment)) return
    if (segment === this.#active?.segment) this.#emptySoon()
    else this.#removeDone()
  }

  /** Waits for the write under way. Unconfirmed events stay on the disk. */
  async close(): Promise<void> {
    clearTimeout(this.#emptyTimer)
    clearTimeout(this.#probeTimer)
    await this.#writing
    await this.#reader.close()
    await this.#seal()
    await Promise.all(this.#removals)
    await this.#lock.release()
  }

  async #write(): Promise<void> {
    // Waits for the events of all who have sent some: the data of a new connection is read one turn of the event loop later.
    await thisTurn()
    await thisTurn()
    while (this.#group.dones.length > 0 || this.#isEmptyDue || this.#isProbeDue) {
      if (this.#isEmptyDue) await this.#empty()
      if (this.#isProbeDue) await this.#probe()
      const group = this.#group
      this.#group = emptyGroup()
      this.#writingBytes = group.bytes
      const noRoom = group.bytes === 0 ? undefined : await this.#commit(group)
      this.#writingBytes = 0
      for (const done of group.dones) done(noRoom)
      if (noRoom === undefined && group.bytes > 0) this.#options.onDurable()
      this.#options.onAnswered()
    }
    this.#writing = undefined
  }

  async #commit({ records, bytes }: Group): Promise<NoRoom | undefined> {
    try {
      const { segment, file } = await this.#activeFor(bytes)
      await this.#writer.write(file, Buffer.from(records.join('')), segment.bytes)
      segment.bytes += bytes
      this.#onWritten()
      return undefined
    } catch (error) {
      return (await this.#onRefused(error as Error)) ? 'disk' : 'unknown'
    }
  }

  /** Tests a disk that has refused, so that its recovery is known before the next view arrives. */
  async #probe(): Promise<void> {
    this.#isProbeDue = false
    try {
      await probeDisk(this.#options.folder)
      this.#onWritten()
    } catch (error) {
      await this.#onRefused(error as Error)
    }
  }

  #onWritten(): void {
    if (!this.#isDiskRefusing) return
    this.#isDiskRefusing = false
    this.#options.onDisk(undefined)
  }

  /** Returns whether nothing of the refused write is left. */
  async #onRefused(error: Error): Promise<boolean> {
    this.#isDiskRefusing = true
    this.#options.onDisk(error)
    this.#probeTimer ??= setTimeout(() => {
      this.#probeTimer = undefined
      this.#isProbeDue = this.#isDiskRefusing
      this.#writing ??= this.#write()
    }, PROBE_EVERY_MS)
    return await this.#cutTail()
  }

  async #activeFor(bytes: number): Promise<{ segment: Segment; file: FileHandle }> {
    const most = Math.min(MOST_SEGMENT_BYTES, this.#options.maxBytes / 4)
    const isFull = this.#active !== undefined && this.#active.segment.bytes + bytes > most
    if (isFull && this.#active!.segment.bytes > HEADER_BYTES) await this.#seal()
    if (this.#active === undefined) {
      this.#active = await createSegment(this.#options.folder, this.#nextNumber++)
      this.#segments.push(this.#active.segment)
    }
    return this.#active
  }

  /** Ends writing to the last segment. */
  async #seal(): Promise<void> {
    const active = this.#active
    this.#active = undefined
    this.#removeDone()
    await active?.file.close()
  }

  /** Removes what a failed write may have left in the file. False if the disk refuses that too. */
  async #cutTail(): Promise<boolean> {
    if (this.#active === undefined) return true
    const { segment, file } = this.#active
    try {
      await file.truncate(segment.bytes)
      await file.sync()
      return true
    } catch {
      // The segment may end in a partial record, so nothing more is written to it.
      await this.#seal().catch(() => {})
      return false
    }
  }

  /** Soon, but not each time: with few views, the segment is done after every one of them. */
  #emptySoon(): void {
    this.#emptyTimer ??= setTimeout(
      () => {
        this.#emptyTimer = undefined
        this.#isEmptyDue = true
        this.#writing ??= this.#write()
      },
      Math.max(0, this.#emptiedAtMs + EMPTY_EVERY_MS - performance.now()),
    )
  }

  /** Views are personal data: they must not stay until the segment is full. */
  async #empty(): Promise<void> {
    this.#isEmptyDue = false
    const active = this.#active
    // Other events have arrived meanwhile. When they are confirmed, this is due again.
    if (active === undefined || !isDone(active.segment)) return
    this.#emptiedAtMs = performance.now()
    active.segment.bytes = active.segment.readTo = HEADER_BYTES
    try {
      await active.file.truncate(HEADER_BYTES)
    } catch {
      await this.#seal().catch(() => {})
    }
  }

  #removeDone(): void {
    const done = this.#segments.filter(segment => isDone(segment) && segment !== this.#active?.segment)
    if (done.length === 0) return
    this.#segments = this.#segments.filter(segment => !done.includes(segment))
    for (const { path } of done) {
      const removal = rm(path, { force: true })
        .catch(() => {
          // Its events are published once more at the next start, under the same ids.
        })
        .then(() => {
          this.#removals.delete(removal)
        })
      this.#removals.add(removal)
    }
  }
}

function emptyGroup(): Group {
  return { records: [], bytes: 0, dones: [] }
}
