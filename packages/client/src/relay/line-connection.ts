import type { Socket } from 'node:net'
import { answerLine, type Intake, type Outcome } from './intake.ts'
import { MAX_EVENT_BYTES } from './protocol.ts'
import type { Spool } from './spool.ts'

/** Limit of lines that are not answered yet; beyond it, no more are read. */
const MAX_UNANSWERED = 256
/** Limit of answers that the caller has not read; beyond it, no more lines are read. */
const MAX_UNREAD_BYTES = 65_536
/** How many lines of one connection are read before another has its turn. */
const LINES_AT_ONCE = 16
/** A caller that is silent for this long has nothing in flight. */
const QUIET_MS = 50
const LINE_FEED = 0x0a
const NOTHING = Buffer.alloc(0)

export interface LineConnectionOptions {
  intake: Intake
  spool: Spool
  /** Data arrived. */
  onActive(): void
  /** There are lines for `readLines`. */
  onReady(): void
  /** The connection waits because the disk is behind. */
  onHeldUp(): void
}

/** The answer to a line, once it is known. */
interface Slot {
  answer: string | undefined
}

/**
 * One caller. Its lines are read a few at a time, and only as fast as they are answered and the caller reads
 * the answers. While some of its data is unread, the socket is paused.
 */
export class LineConnection {
  readonly #socket: Socket
  readonly #options: LineConnectionOptions
  /** Data that arrived and was not read. */
  #rest = NOTHING
  /** The beginning of a line whose end has not arrived. Bytes beyond the longest event are not kept. */
  #part: Buffer[] = []
  #partBytes = 0
  #partSinceMs = Infinity
  /** One for each unanswered line, in order. */
  readonly #slots: Slot[] = []
  #isWriteDue = false
  #hasEnded = false
  /** Set while the connection is finishing: fires when nothing arrived for a moment. */
  #finishTimer: NodeJS.Timeout | undefined
  #isFinished = false

  constructor(socket: Socket, options: LineConnectionOptions) {
    this.#socket = socket
    this.#options = options
    socket.on('data', chunk => {
      options.onActive()
      this.#finishTimer?.refresh()
      this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
      this.readLines()
    })
    socket.on('drain', () => this.resume())
    socket.on('end', () => {
      this.#hasEnded = true
      this.readLines()
    })
    // The caller has gone. It cannot know which events were taken, and sends them again.
    socket.on('error', () => socket.destroy())
  }

  /** Reads some of the lines that arrived. */
  readLines(): void {
    for (let lines = 0; lines < LINES_AT_ONCE && !this.#mustWait(); lines++) {
      const end = this.#rest.indexOf(LINE_FEED)
      if (end === -1) break
      const line = this.#rest.subarray(0, end)
      this.#rest = this.#rest.subarray(end + 1)
      this.#onLine(this.#partBytes === 0 ? line : this.#takePart(line))
    }
    if (this.#rest.includes(LINE_FEED)) {
      this.#socket.pause()
      if (!this.#mustWait()) this.#options.onReady()
      return
    }
    if (this.#rest.length > 0) this.#keepPart(this.#rest)
    this.#rest = NOTHING
    if (this.#hasEnded || this.#isFinished) this.#endSoon()
    else if (this.#mustWait()) this.#socket.pause()
    else if (this.#socket.isPaused()) this.#socket.resume()
  }

  /** Continues reading if the reason to wait is gone. */
  resume(): void {
    if (this.#socket.isPaused() && !this.#mustWait()) this.#options.onReady()
  }

  /** Closes the connection once the caller has been silent for a moment and every line is answered. */
  finish(): void {
    this.#finishTimer ??= setTimeout(() => this.#finishIfQuiet(), QUIET_MS)
  }

  #finishIfQuiet(): void {
    if (this.#socket.isPaused() || this.#slots.length > 0) {
      // Lines that arrived are not answered yet, and the kernel may hold more of them.
      this.#finishTimer?.refresh()
      return
    }
    this.#isFinished = true
    this.#options.onReady()
  }

  destroy(): void {
    clearTimeout(this.#finishTimer)
    this.#socket.destroy()
  }

  isSlowerThan(sinceMs: number): boolean {
    return this.#partSinceMs < sinceMs && !this.#socket.isPaused()
  }

  #mustWait(): boolean {
    const unread = this.#socket.writableLength
    if (unread > MAX_UNREAD_BYTES || this.#slots.length > MAX_UNANSWERED) return true
    if (!this.#options.spool.isBehind) return false
    this.#options.onHeldUp()
    return true
  }

  #keepPart(bytes: Buffer): void {
    if (this.#partBytes === 0) this.#partSinceMs = performance.now()
    this.#partBytes += bytes.length
    // A copy, because the chunk it is cut out of may be much larger.
    if (this.#partBytes <= MAX_EVENT_BYTES) this.#part.push(Buffer.from(bytes))
  }

  /** The line that was begun, with its end; undefined when it is too long. */
  #takePart(end: Buffer = NOTHING): Buffer | undefined {
    const bytes = this.#partBytes + end.length
    const line = bytes > MAX_EVENT_BYTES ? undefined : Buffer.concat([...this.#part, end])
    this.#part = []
    this.#partBytes = 0
    this.#partSinceMs = Infinity
    return line
  }

  #onLine(line: Buffer | undefined): void {
    const slot: Slot = { answer: undefined }
    this.#slots.push(slot)
    const answer = (outcome: Outcome) => {
      if (outcome === 'unknown') {
        // Closing without an answer tells the caller that the outcome is unknown.
        this.#socket.destroy()
        return
      }
      slot.answer = answerLine(outcome)
      this.#writeSoon()
    }
    if (line === undefined) this.#options.intake.refuse('too_large', answer)
    else this.#options.intake.acceptLine(line, answer)
  }

  /** One write for all lines that are answered at the same moment. */
  #writeSoon(): void {
    if (this.#isWriteDue) return
    this.#isWriteDue = true
    queueMicrotask(() => {
      this.#isWriteDue = false
      this.#write()
    })
  }

  #write(): void {
    const unanswered = this.#slots.findIndex(slot => slot.answer === undefined)
    const answered = this.#slots.splice(0, unanswered === -1 ? this.#slots.length : unanswered)
    if (answered.length > 0) this.#socket.write(answered.map(({ answer }) => answer).join(''))
    if (this.#rest.length === 0 && (this.#hasEnded || this.#isFinished)) this.#endSoon()
    else this.resume()
  }

  /** To call when there is nothing more to read. */
  #endSoon(): void {
    // A caller that has closed its side may leave out the last line feed.
    if (this.#hasEnded && this.#partBytes > 0) this.#onLine(this.#takePart())
    if (this.#slots.length === 0) this.#socket.destroySoon()
  }
}
