/**
 * Writes the logs of our programs to stdout, and never blocks. A pipe that nobody reads takes 64 KB and then
 * nothing: a program that waited for it would hang.
 */

import { fstatSync, write, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { isatty } from 'node:tty'
import { endBy } from './ending.ts'

const STDOUT = 1
/** More than any burst of lines, and little compared with the rest of the process. */
const MAX_WAITING_BYTES = 1_048_576
const BUSY_RETRY_MS = 100
const LEAVE_AFTER_MS = 1_000

/** Calls back once; with an error if the text, or a part of it, could not be written. */
type Write = (text: string, done: (error?: Error | null) => void) => void

export interface LogLinesOptions {
  /** `lines` lines were dropped, because there was no room or a write failed. */
  onDropped?(lines: number): void
  /** Lines are accepted again, after `dropped` of them were dropped. */
  onRoom?(dropped: number): void
}

/** Accepts lines at once, writes them as fast as they are read, and drops new ones while 1 MiB waits. */
export class LogLines {
  readonly #options: LogLinesOptions
  readonly #write: Write
  #waiting: string[] = []
  #waitingBytes = 0
  #isWriting = false
  #dropped = 0

  constructor(options: LogLinesOptions = {}, write: Write = writeStdout()) {
    this.#options = options
    this.#write = write
  }

  /** Takes a line with its line feed, as pino makes it. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line)
    if (this.#waitingBytes + bytes > MAX_WAITING_BYTES) {
      this.#drop(1)
      return
    }
    this.#waiting.push(line)
    this.#waitingBytes += bytes
    if (!this.#isWriting) this.#writeWaiting()
  }

  /** Ends the process, after at most a second in which the last lines may be read. */
  async leave(exitCode: number): Promise<never> {
    const deadline = performance.now() + LEAVE_AFTER_MS
    while (this.#isWriting && performance.now() < deadline) await sleep(10)
    // A thread still waits for the terminal, and `process.exit` would wait for the thread.
    if (this.#isWriting && isatty(STDOUT)) endBy('SIGTERM')
    process.exit(exitCode)
  }

  #writeWaiting(): void {
    const lines = this.#waiting
    this.#waiting = []
    this.#isWriting = true
    this.#write(lines.join(''), error => {
      this.#isWriting = false
      this.#waitingBytes -= lines.reduce((bytes, line) => bytes + Buffer.byteLength(line), 0)
      if (error) this.#drop(lines.length)
      else if (this.#dropped > 0) this.#tellDropped()
      if (this.#waiting.length > 0 && !this.#isWriting) this.#writeWaiting()
    })
  }

  #drop(lines: number): void {
    this.#dropped += lines
    this.#options.onDropped?.(lines)
  }

  #tellDropped(): void {
    const dropped = this.#dropped
    this.#dropped = 0
    this.#options.onRoom?.(dropped)
  }
}

function writeStdout(): Write {
  if (isatty(STDOUT)) return writeTerminal
  const stat = fstatSync(STDOUT)
  if (stat.isFIFO() || stat.isSocket()) return writePipe()
  return writeFile
}

// Never blocks on Linux: libuv buffers what the pipe does not take.
function writePipe(): Write {
  // Each write gets the error too; without a listener the event would end the process.
  if (process.stdout.listenerCount('error') === 0) process.stdout.on('error', () => {})
  return (text, done) => process.stdout.write(text, done)
}

// After Ctrl-S, or when its connection has died, a terminal takes nothing; a thread waits for it then.
const writeTerminal: Write = (text, done) => {
  const bytes = Buffer.from(text)
  const next = (from: number) =>
    write(STDOUT, bytes, from, bytes.length - from, null, (error, written) => {
      if (error?.code === 'EAGAIN') setTimeout(next, BUSY_RETRY_MS, from).unref()
      else if (error) done(error)
      else if (from + written < bytes.length) next(from + written)
      else done()
    })
  next(0)
}

// Synchronous, so that the last line before a crash is there.
const writeFile: Write = (text, done) => {
  const bytes = Buffer.from(text)
  let error: Error | null = null
  try {
    for (let from = 0; from < bytes.length; ) from += writeSync(STDOUT, bytes, from)
  } catch (cause) {
    error = cause as Error
  }
  done(error)
}
