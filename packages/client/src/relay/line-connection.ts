import type { Socket } from 'node:net'
import { answerLine, type Intake, type Outcome } from './intake.ts'
import { MAX_EVENT_BYTES } from './protocol.ts'
import type { Spool } from './spool.ts'

/** Lines that are not answered yet; beyond, no more are read. */
const MAX_UNANSWERED = 256
/** Answers that the caller has not read; beyond, no more lines are read. */
const MAX_UNREAD_BYTES = 65_536
/** Of one connection before another has its turn. */
const LINES_AT_ONCE = 16
/** A caller that says nothing for so long has nothing on its way. */
const QUIET_MS = 50
const LINE_FEED = 0x0a
const NOTHING = Buffer.alloc(0)

export interface LineConnectionOptions {
  intake: Intake
  spool: Spool
  /** Something came. */
  onActive(): void
  /** There are lines for `readLines`. */
  onReady(): void
  /** It waits for the disk, which is behind. */
  onHeldUp(): void
}

/** The answer to a line, once it is known. */
interface Slot {
  answer: string | undefined
}

/**
 * One caller. What it sends is read a few lines at a time, and only as fast as it is answered and reads the answers: while there
 * is a rest of what came, the socket is paused.
 */
export class LineConnection {
  readonly #socket: Socket
  readonly #options: LineConnectionOptions
  /** What came and was not read. */
  #rest = NOTHING
  /** The beginning of a line whose end has not come. What is too long to be an event is not kept. */
  #part: Buffer[] = []
  #partBytes = 0
  #partSinceMs = Infinity
  /** One for each line that is not answered, in their order. */
  readonly #slots: Slot[] = []
  #isWriteDue = false
  #hasEnded = false
  /** Set while it is to end: fires when nothing came for a moment. */
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
    // The caller has gone. It cannot know what was taken, and sends it again.
    socket.on('error', () => socket.destroy())
  }

  /** Reads some of the lines that came. */
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

  /** Once for all that is answered at the same moment. */
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

  /** Nothing more is to be read. */
  #endSoon(): void {
    // The last line of a caller that has closed its side need not have an end.
    if (this.#hasEnded && this.#partBytes > 0) this.#onLine(this.#takePart())
    if (this.#slots.length === 0) this.#socket.destroySoon()
  }
}
